//! One system call as text: its name, its arguments by their meaning, its result.

use std::fmt::Write as _;

use nix::errno::Errno;

use crate::arch::{call_arguments, call_number, result};
use crate::snapshot::calls::Call;

use super::super::memory::Memory;
use super::super::tracee::Stopped;
use super::names::Names;
use super::table::{Kind, Signature};

/// The number of bytes of a string or buffer that are shown.
const SHOWN: usize = 64;
/// All bits of a mode.
const PERMISSIONS: u64 = 0o177_777;
/// Longer paths are truncated.
const LONGEST_PATH: usize = 4096;

/// A call that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    signature: Signature,
    arguments: [u64; 6],
    text: String,
}

impl Begun {
    /// Reads a call at its start. `None`: the process is gone.
    pub(super) fn new(stopped: &Stopped, names: &Names) -> Option<Self> {
        let registers = stopped.registers().ok()?;
        let memory = Memory::of(stopped.pid()).ok()?;
        let signature = Signature::of(call_number(&registers));
        let arguments = call_arguments(&registers);
        let mut texts = Vec::new();
        for (index, kind) in signature.kinds.iter().enumerate() {
            let next = arguments.get(index + 1).copied().unwrap_or(0);
            texts.push(argument(*kind, arguments[index], next, names, &memory));
        }
        Some(Self {
            text: format!("{}({})", signature.name, texts.join(", ")),
            signature,
            arguments,
        })
    }

    /// Completes it at its end.
    pub(super) fn with_result(mut self, stopped: &Stopped, names: &Names) -> Option<Call> {
        let result = result(&stopped.registers().ok()?);
        self.note(result, names);
        let text = match (u32::try_from(-result), self.signature.result) {
            (Ok(number), _) if (1..4096).contains(&number) => error(number),
            (_, Kind::Address) => names.address(result as u64),
            (_, Kind::Process) => names.process(result as u64),
            _ => result.to_string(),
        };
        if self.signature.name != "rt_sigreturn" {
            let _ = write!(self.text, " = {text}");
        }
        Some(self.call())
    }

    /// Whether the call depends on timing: how threads wait for each other is random.
    pub(super) fn is_chance(&self) -> bool {
        ["futex", "sched_yield"].contains(&&self.signature.name[..])
    }

    /// For a call that does not return.
    pub(super) fn without_result(self) -> Call {
        self.call()
    }

    fn call(self) -> Call {
        Call {
            name: self.signature.name,
            text: self.text,
        }
    }

    /// Records memory that the call mapped or unmapped.
    fn note(&self, result: i64, names: &Names) {
        let failed = (-4095..0).contains(&result);
        let [first, second, third, ..] = self.arguments;
        let range = |start: u64, size: u64| start..start.saturating_add(size);
        match &self.signature.name[..] {
            "mmap" if !failed => names.map(range(result as u64, second)),
            "mremap" if !failed => names.map(range(result as u64, third)),
            "munmap" if !failed => names.unmap(&range(first, second)),
            _ => (),
        }
    }
}

fn error(number: u32) -> String {
    /// Results that only a tracer sees: the call is restarted, or returns EINTR.
    const RESTARTS: std::ops::RangeInclusive<u32> = 512..=516;
    if RESTARTS.contains(&number) {
        return "-1 (to be restarted)".to_owned();
    }
    format!("-1 {:?}", Errno::from_raw(number as i32))
}

fn argument(kind: Kind, value: u64, next: u64, names: &Names, memory: &Memory) -> String {
    match kind {
        Kind::Size => (value as i64).to_string(),
        Kind::Flags => format!("{value:#x}"),
        // No file is created: the register contains an old value.
        Kind::Mode if value > PERMISSIONS => "unused".to_owned(),
        Kind::Mode => format!("{value:#o}"),
        Kind::Directory if value as i32 == libc::AT_FDCWD => "AT_FDCWD".to_owned(),
        Kind::Number | Kind::Directory => (value as i32).to_string(),
        Kind::Process => names.process(value),
        Kind::Address => names.address(value),
        Kind::Text => match memory.text(value, LONGEST_PATH) {
            Some(text) => format!("\"{}\"", text.escape_ascii()),
            None => names.address(value),
        },
        Kind::Buffer => quoted(memory.bytes(value, next as usize, SHOWN), next)
            .unwrap_or_else(|| names.address(value)),
        Kind::Vector => vector(value, next, memory).unwrap_or_else(|| names.address(value)),
    }
}

/// The beginning of a buffer of this size.
fn quoted(bytes: Option<Vec<u8>>, size: u64) -> Option<String> {
    let bytes = bytes?;
    let more = if (bytes.len() as u64) < size {
        "..."
    } else {
        ""
    };
    Some(format!("\"{}\"{more}", bytes.escape_ascii()))
}

/// The beginning of the contents of an array of buffers.
fn vector(start: u64, count: u64, memory: &Memory) -> Option<String> {
    const MOST: u64 = 16;
    const SIZE: u64 = 16;
    let (mut shown, mut size) = (Vec::new(), 0_u64);
    for index in 0..count.min(MOST) {
        let at = start.checked_add(index * SIZE)?;
        let (base, length) = (memory.word(at)?, memory.word(at.checked_add(8)?)?);
        size = size.saturating_add(length);
        let left = SHOWN - shown.len();
        shown.extend(memory.bytes(base, length as usize, left)?);
    }
    quoted(Some(shown), size)
}
