//! Staging: puts everything the table needs at the place where it stays until it is played, and tries everything that may
//! fail. Dropping a staged mapping undoes it.
//!
//! The rules of this memory: only this file uses a [`Staged`] mapping, from mmap to munmap. The mapping is at a place where
//! neither the old program nor the new one has memory. Only the copies made here refer to its bytes.
#![allow(unsafe_code, reason = "maps and fills memory at chosen addresses")]

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use nix::errno::Errno;

use crate::errno::errno_of;
use crate::error::{Cause, CommitFault, Error, OpenFault, ProcessFault, RefusedCall};
use crate::handover::Zeros;
use crate::image::Permissions;
use crate::now::sys;
use crate::open::memory_file::empty_memory_file;
use crate::open::{OpenFile, Opened};
use crate::page::PageSize;
use crate::plan::{self, Operation, Plan};
use crate::stack::InitialStack;

/// A mapping at a chosen address, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) range: Range<u64>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it.
        unsafe { sys::unmap(self.range.start, self.range.end - self.range.start) };
    }
}

/// The new stack, filled, at the free place `at`.
///
/// `return_address` goes into the word below the stack pointer, where the last instruction of the old program finds it.
pub(crate) fn stack(
    at: Range<u64>,
    plan: &Plan,
    stack: &InitialStack,
    return_address: Option<u64>,
) -> Result<Staged, CommitFault> {
    let permissions = Permissions {
        execute: plan.stack.executable,
        ..Permissions::READ_WRITE
    };
    // Only these flags give the same mapping as the kernel's: MAP_STACK would forbid huge pages, MAP_NORESERVE accounting.
    let flags = libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN;
    let staged = map_at(&at, permissions, flags, None).map_err(|errno| {
        CommitFault::Process(ProcessFault::call("mmap of the new stack", errno))
    })?;
    let at = |address: u64| address - plan.stack.range.start + staged.range.start;
    let frame = &stack.frame;
    staged.write(at(frame.sp), &stack.tables);
    staged.write(at(frame.arg_start), &stack.strings);
    if let Some(entry) = return_address {
        staged.write(at(frame.sp - 8), &entry.to_ne_bytes());
    }
    Ok(staged)
}

impl Staged {
    fn write(&self, at: u64, bytes: &[u8]) {
        assert!(
            self.range.start <= at && at + bytes.len() as u64 <= self.range.end,
            "the plan has room for its stack"
        );
        let to = ptr::without_provenance_mut::<u8>(at as usize);
        // SAFETY: inside of this mapping, which is writable when this is called, and which nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

/// The file that the runner is mapped from, and from which zeros are read.
#[derive(Debug)]
pub(crate) enum RunnerFile {
    /// An empty memory file.
    Memory(File),
    /// /dev/zero, where memory files may not be executed.
    Zeros(File),
    /// None, where there is no descriptor to spare.
    Nothing,
}

impl RunnerFile {
    pub(crate) fn new() -> Result<Self, CommitFault> {
        if let Ok(file) = empty_memory_file(c"supplant") {
            return Ok(Self::Memory(file));
        }
        match File::open("/dev/zero") {
            Ok(file) => Ok(Self::Zeros(file)),
            Err(error) => match errno_of(&error) {
                Errno::EMFILE | Errno::ENFILE => Ok(Self::Nothing),
                _ => Err(ProcessFault::from(RefusedCall::of("memfd_create", &error)).into()),
            },
        }
    }

    /// If the stack's tables must be read from the file, the file must be able to hold them.
    pub(crate) fn check_has_data(&self, plan: &Plan) -> Result<(), CommitFault> {
        let errno = match self {
            Self::Memory(_) => return Ok(()),
            Self::Zeros(_) => Errno::EACCES,
            Self::Nothing => Errno::EMFILE,
        };
        let lacks_zeros = matches!(self, Self::Nothing) && !sys::has_process_vm_readv();
        if plan.covers_stack_pointer() || lacks_zeros {
            return Err(CommitFault::Process(ProcessFault::call(
                "memfd_create",
                errno,
            )));
        }
        Ok(())
    }

    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        match self {
            Self::Memory(file) | Self::Zeros(file) => Some(file.as_raw_fd()),
            Self::Nothing => None,
        }
    }

    /// The place of zeros, for a runner that [`map`](Self::map) puts at `runner`.
    pub(crate) fn zeros(&self, runner: &Range<u64>, page: PageSize) -> Zeros {
        match self {
            Self::Memory(file) => Zeros::InFile {
                descriptor: file.as_raw_fd(),
                offset: runner.end - runner.start,
            },
            Self::Zeros(file) => Zeros::InFile {
                descriptor: file.as_raw_fd(),
                offset: 0,
            },
            Self::Nothing => Zeros::InRunner {
                end: runner.start + page.get(),
                page: page.get(),
            },
        }
    }

    /// Puts `bytes` at `range`, readable and executable. They are mapped from the file: this also works where memory that
    /// was once writable never becomes executable, and the loader's own file is not mapped when its link is changed.
    pub(crate) fn map(
        &mut self,
        range: &Range<u64>,
        bytes: &[u8],
        page: PageSize,
    ) -> Result<Staged, CommitFault> {
        let size = range.end - range.start;
        let refused = |errno| CommitFault::Process(ProcessFault::call("mmap of the runner", errno));
        if let Self::Memory(file) = self {
            let written = file
                .set_len(size + page.get())
                .and_then(|()| file.write_all(bytes));
            written.map_err(|error| refused(errno_of(&error)))?;
            let executable = Permissions {
                read: true,
                write: false,
                execute: true,
            };
            match map_at(range, executable, 0, Some(file.as_fd())) {
                Err(Errno::EACCES | Errno::EPERM) => (),
                result => return result.map_err(refused),
            }
        }
        let anonymous = libc::MAP_ANONYMOUS;
        let staged = map_at(range, Permissions::READ_WRITE, anonymous, None).map_err(refused)?;
        staged.write(range.start, bytes);
        let at = ptr::without_provenance_mut(range.start as usize);
        // SAFETY: our own mapping, just filled.
        let result =
            unsafe { libc::mprotect(at, size as usize, libc::PROT_READ | libc::PROT_EXEC) };
        Errno::result(result).map_err(refused)?;
        Ok(staged)
    }
}

/// Maps a file from its start, or anonymous memory if `flags` say so, at a free place.
fn map_at(
    range: &Range<u64>,
    permissions: Permissions,
    flags: i32,
    file: Option<BorrowedFd<'_>>,
) -> Result<Staged, Errno> {
    let size = (range.end - range.start) as usize;
    let wanted = ptr::without_provenance_mut(range.start as usize);
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
    let file = file.map_or(-1, |file| file.as_raw_fd());
    // SAFETY: a new mapping that replaces nothing.
    let found = unsafe { libc::mmap(wanted, size, permissions.prot(), flags, file, 0) };
    Errno::result(found as isize)?;
    // Before Linux 4.17 the address is only a hint; a mapping at another place is removed again.
    let start = found.addr() as u64;
    let staged = Staged {
        range: start..start + size as u64,
    };
    if found == wanted {
        Ok(staged)
    } else {
        Err(Errno::EEXIST)
    }
}

/// Maps and unmaps one page of each file in each way that the plan needs.
pub(crate) fn probe(plan: &Plan, opened: &Opened, page: PageSize) -> Result<(), Error> {
    let mut seen = Vec::new();
    for operation in &plan.operations {
        let Operation::MapFile {
            permissions,
            file,
            offset,
            ..
        } = operation
        else {
            continue;
        };
        if seen.contains(&(*file, *permissions)) {
            continue;
        }
        seen.push((*file, *permissions));
        let open_file = match (file, &opened.interpreter) {
            (plan::File::Interpreter, Some(open_file)) => open_file,
            _ => &opened.program,
        };
        let about = |cause| Error::new(open_file.loadable.subject.clone(), cause);
        probe_page(open_file, *permissions, *offset, page).map_err(about)?;
    }
    Ok(())
}

fn probe_page(
    open_file: &OpenFile,
    permissions: Permissions,
    offset: u64,
    page: PageSize,
) -> Result<(), Cause> {
    let (size, file) = (page.get() as usize, open_file.file.as_raw_fd());
    // SAFETY: a new mapping anywhere, never touched.
    let found = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            permissions.prot(),
            libc::MAP_PRIVATE,
            file,
            offset as i64,
        )
    };
    match Errno::result(found as isize) {
        Err(Errno::ENODEV) => Err(Cause::Open(OpenFault::NotMappable)),
        Err(errno) => Err(Cause::Process(ProcessFault::call(
            "mmap of a segment",
            errno,
        ))),
        Ok(_) => {
            // SAFETY: unmaps it again.
            unsafe { libc::munmap(found, size) };
            Ok(())
        }
    }
}
