//! Follows another loader instead of ours: starts it by execve, until the program that it loads is about to run its first
//! instruction.
//!
//! The place of that instruction is known when the loader has made the code executable: the mapping is of the program's
//! file, or it contains the bytes at the file's entry. A loader that finally calls execve for the program is followed
//! through its execve. A program in a child of the loader, or a program that is translated and not executed directly, is
//! not found.

use std::ffi::CString;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::arch;
use crate::arguments::Arguments;
use crate::image::{Image, Kind, ReadAt as _, Role, Segment};
use crate::machine::Machine;
use crate::maps::{self, Mapping};
use crate::page_size;
use crate::snapshot::Program;

use super::memory::Memory;
use super::program::to_program;
use super::released::Ending;
use super::start::{Started, by_kernel};
use super::tracee::{Event, Stop, Stopped};
use super::watchdog::Watchdog;

/// The number of bytes at the entry that must match the file.
const COMPARED: u64 = 512;

/// A program that another loader loads.
#[derive(Debug)]
pub struct Target {
    image: Image,
    inode: u64,
    interpreter: Option<u64>,
    /// The bytes at its entry.
    start: Vec<u8>,
    /// The offset of these bytes in the file.
    start_offset: u64,
    /// The segment that contains them.
    segment: Segment,
}

impl Target {
    /// Reads the data for recognising it. `None`: it is not an ELF file for this processor, or its entry is not in a segment.
    pub fn new(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let image = Image::parse(&file, Machine::X86_64, Role::Program).ok()?;
        let segment = *image.segments.iter().find(|segment| {
            let distance = image.entry.checked_sub(segment.vaddr);
            distance.is_some_and(|distance| distance < segment.file_size)
        })?;
        let distance = image.entry - segment.vaddr;
        let start_offset = segment.offset.checked_add(distance)?;
        let size = COMPARED.min(segment.file_size - distance);
        let mut start = vec![0; usize::try_from(size).ok()?];
        let count = file.read_at(&mut start, start_offset).ok()?;
        start.truncate(count);
        let interpreter = image.interpreter.as_ref();
        let interpreter = interpreter.and_then(|path| path.to_str().ok());
        Some(Self {
            inode: file.metadata().ok()?.ino(),
            interpreter: interpreter.and_then(|path| Some(std::fs::metadata(path).ok()?.ino())),
            image,
            start,
            start_offset,
            segment,
        })
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    pub(super) fn has_interpreter(&self) -> bool {
        self.image.interpreter.is_some()
    }

    /// The bias of the program, if its entry can be there.
    pub(super) fn bias(&self, entry: u64) -> Option<u64> {
        let bias = entry.wrapping_sub(self.image.entry);
        let is_possible = match self.image.kind {
            Some(Kind::Exec) => bias == 0,
            _ => page_size().offset(bias) == 0,
        };
        is_possible.then_some(bias)
    }

    /// The address of its entry, if this mapping contains it. `own` are the loader's own files, which may look like it.
    fn entry_in(&self, mapping: &Mapping, memory: &Memory, own: &[u64]) -> Option<u64> {
        let is_own = own.contains(&mapping.inode) && mapping.inode != self.inode;
        let is_code = mapping.permissions.execute && !mapping.is_vdso() && !mapping.is_vsyscall();
        if is_own || !is_code {
            return None;
        }
        let page = |address: u64| page_size().floor(address);
        let into_segment = self.image.entry.checked_sub(page(self.segment.vaddr));
        let into_image = self.image.entry.checked_sub(self.first_page()?);
        let above_start = |distance: Option<u64>| mapping.range.start.checked_add(distance?);
        let of_file = (mapping.inode == self.inode)
            .then(|| self.start_offset.checked_sub(mapping.offset))
            .flatten();
        let candidates = [
            above_start(of_file),
            (self.image.kind == Some(Kind::Exec)).then_some(self.image.entry),
            above_start(into_segment),
            above_start(into_image),
        ];
        let mut candidates = candidates.into_iter().flatten();
        candidates.find(|&address| {
            let mut bytes = vec![0; self.start.len()];
            mapping.range.contains(&address)
                && memory.read(address, &mut bytes)
                && bytes == self.start
        })
    }

    fn first_page(&self) -> Option<u64> {
        let starts = self.image.segments.iter().map(|segment| segment.vaddr);
        Some(page_size().floor(starts.min()?))
    }

    /// The facts about a process that is stopped at `entry`.
    fn program_at(&self, entry: u64) -> Program {
        let bias = entry.wrapping_sub(self.image.entry);
        let ends = self
            .image
            .segments
            .iter()
            .map(|segment| segment.vaddr.wrapping_add(segment.memory_size));
        let range = Range {
            start: self.first_page().unwrap_or(0).wrapping_add(bias),
            end: ends.max().unwrap_or(0).wrapping_add(bias),
        };
        Program {
            file: Some(self.inode),
            interpreter: self.interpreter,
            range: Some(range),
        }
    }
}

/// The result with another loader.
#[derive(Debug)]
pub enum OtherLoader {
    /// The program is at its entry.
    Stopped(Stopped),
    /// The loader itself did not start.
    NotStarted(Started),
    /// It ended, and the program's first instruction was not found.
    Ended(Ending),
}

/// Starts a loader by execve, like [`by_kernel`], and follows it to the entry of the program, for at most `limit`.
///
/// # Errors
///
/// The errors of [`by_kernel`], and of pidfd_open(2), which is used for the time limit.
pub fn by_other(
    paths: &[CString],
    arguments: &Arguments,
    target: &Target,
    limit: Duration,
) -> Result<OtherLoader, Errno> {
    let stopped = match by_kernel(paths, arguments)? {
        Started::Stopped(stopped) => stopped,
        other => return Ok(OtherLoader::NotStarted(other)),
    };
    let watchdog = Watchdog::new(stopped.pid(), limit)?;
    let found = search(stopped, target);
    let is_up = watchdog.has_bitten();
    Ok(match found? {
        Found::Entry(mut stopped, entry) => {
            if target.interpreter.is_some() {
                stopped.mark_as_run();
            }
            stopped.set_program(target.program_at(entry));
            OtherLoader::Stopped(stopped)
        }
        Found::Executed(stopped) => match to_program(stopped, limit)? {
            Ok(stopped) => OtherLoader::Stopped(stopped),
            Err(ending) => OtherLoader::Ended(ending),
        },
        Found::Ended(_) if is_up => OtherLoader::Ended(Ending::TimedOut),
        Found::Ended(ending) => OtherLoader::Ended(ending),
    })
}

enum Found {
    /// At the program's entry.
    Entry(Stopped, u64),
    /// The loader called execve for it: before the first instruction.
    Executed(Stopped),
    Ended(Ending),
}

/// Runs from system call to system call, with a breakpoint at the current address of the program's entry: a loader may map
/// the file more than once.
fn search(stopped: Stopped, target: &Target) -> Result<Found, Errno> {
    let own: Vec<_> = mappings(&stopped)
        .iter()
        .map(|mapping| mapping.inode)
        .filter(|&inode| inode != 0)
        .collect();
    let mut breakpoint = None;
    let mut running = stopped.to_syscall()?;
    loop {
        let (stopped, stop) = match running.wait()? {
            Event::Stopped(stopped, stop) => (stopped, stop),
            Event::Exited(status) => return Ok(Found::Ended(Ending::Exited(status))),
            Event::Killed(signal) => return Ok(Found::Ended(Ending::Killed(signal))),
        };
        let mut signal = 0;
        match stop {
            Stop::Exec if is_program(&stopped, target) => return executed(stopped),
            Stop::Syscall => {
                let entry = entry(&stopped, target, &own);
                if entry != breakpoint {
                    stopped.set_breakpoint(entry)?;
                    breakpoint = entry;
                }
            }
            Stop::Signal(libc::SIGTRAP) if breakpoint == Some(instruction(&stopped)?) => {
                stopped.set_breakpoint(None)?;
                let entry = instruction(&stopped)?;
                return Ok(Found::Entry(stopped, entry));
            }
            Stop::Signal(number) => signal = number,
            Stop::Exec | Stop::Event(_) => (),
        }
        running = stopped.resume_to_syscall(signal)?;
    }
}

fn instruction(stopped: &Stopped) -> Result<u64, Errno> {
    Ok(arch::instruction(&stopped.registers()?))
}

/// Runs from the event to the end of the system call.
fn executed(stopped: Stopped) -> Result<Found, Errno> {
    stopped.set_breakpoint(None)?;
    match stopped.to_syscall()?.wait()? {
        Event::Stopped(stopped, _) => Ok(Found::Executed(stopped)),
        Event::Exited(status) => Ok(Found::Ended(Ending::Exited(status))),
        Event::Killed(signal) => Ok(Found::Ended(Ending::Killed(signal))),
    }
}

fn is_program(stopped: &Stopped, target: &Target) -> bool {
    let path = format!("/proc/{}/exe", stopped.pid());
    std::fs::metadata(path).is_ok_and(|metadata| metadata.ino() == target.inode)
}

/// The current address of the program's entry; `None` for a process that is about to end.
fn entry(stopped: &Stopped, target: &Target, own: &[u64]) -> Option<u64> {
    let memory = Memory::of(stopped.pid()).ok()?;
    mappings(stopped)
        .iter()
        .find_map(|mapping| target.entry_in(mapping, &memory, own))
}

fn mappings(stopped: &Stopped) -> Vec<Mapping> {
    let text = std::fs::read(format!("/proc/{}/maps", stopped.pid())).unwrap_or_default();
    maps::parse(&text).unwrap_or_default()
}
