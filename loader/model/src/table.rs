//! The table: system calls as rows of plain data.
//!
//! After the point of no return only these calls are made, in order. They are prepared as data so that they can be printed,
//! and tested on a model of an address space, and so that the assembly that plays them is a loop.
//!
//! A table for a real commit is filled when memory may no longer be allocated, so its room is reserved before. Rows and data
//! that do not fit are left out, and [`Table::is_full`] reports this.

use std::fmt;

/// A system call's number on this processor, with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
}

macro_rules! calls {
    ($($constant:ident = $number:ident $name:literal),* $(,)?) => {
        /// The calls a table is made of.
        pub mod call {
            use super::Call;
            $(
                #[doc = concat!("`", $name, "(2)`.")]
                pub const $constant: Call = Call { number: libc::$number, name: $name };
            )*
        }
    };
}

calls! {
    BRK = SYS_brk "brk",
    CAPSET = SYS_capset "capset",
    CLOSE = SYS_close "close",
    CLOSE_RANGE = SYS_close_range "close_range",
    FCHDIR = SYS_fchdir "fchdir",
    FCNTL = SYS_fcntl "fcntl",
    IOPRIO_SET = SYS_ioprio_set "ioprio_set",
    KILL = SYS_kill "kill",
    MADVISE = SYS_madvise "madvise",
    MMAP = SYS_mmap "mmap",
    MPROTECT = SYS_mprotect "mprotect",
    MREMAP = SYS_mremap "mremap",
    MUNLOCKALL = SYS_munlockall "munlockall",
    MUNMAP = SYS_munmap "munmap",
    PERSONALITY = SYS_personality "personality",
    PRCTL = SYS_prctl "prctl",
    PRLIMIT = SYS_prlimit64 "prlimit64",
    PREAD = SYS_pread64 "pread64",
    PROCESS_VM_READV = SYS_process_vm_readv "process_vm_readv",
    RSEQ = SYS_rseq "rseq",
    RT_SIGACTION = SYS_rt_sigaction "rt_sigaction",
    RT_SIGPROCMASK = SYS_rt_sigprocmask "rt_sigprocmask",
    SETGROUPS = SYS_setgroups "setgroups",
    SETPGID = SYS_setpgid "setpgid",
    SETRESGID = SYS_setresgid "setresgid",
    SETRESUID = SYS_setresuid "setresuid",
    SCHED_SETAFFINITY = SYS_sched_setaffinity "sched_setaffinity",
    SCHED_SETATTR = SYS_sched_setattr "sched_setattr",
    SET_ROBUST_LIST = SYS_set_robust_list "set_robust_list",
    SET_TID_ADDRESS = SYS_set_tid_address "set_tid_address",
    SIGALTSTACK = SYS_sigaltstack "sigaltstack",
    UNSHARE = SYS_unshare "unshare",
}

/// An argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The value itself.
    Value(u64),
    /// The address of these bytes of the table's data.
    Data {
        /// Where they start in it.
        offset: usize,
    },
    /// The offset of these bytes in the file that the table is mapped from.
    FileOffset {
        /// Where they start in the table's data.
        offset: usize,
    },
}

impl From<u64> for Argument {
    fn from(value: u64) -> Self {
        Self::Value(value)
    }
}

impl From<i32> for Argument {
    /// Sign-extended, as C passes it.
    fn from(value: i32) -> Self {
        Self::Value(i64::from(value) as u64)
    }
}

/// What to do if a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The process is killed by the same signal as by execve.
    MustSucceed,
    /// The new program runs nevertheless; the remaining difference is known before.
    MayFail,
}

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The call.
    pub call: Call,
    /// Its arguments, and zeros for those it does not take.
    words: [Argument; 6],
    count: usize,
    /// What to do if it fails.
    pub policy: Policy,
    /// The purpose of the call.
    pub reason: Reason,
}

/// One of the two files of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The program.
    Program,
    /// The file that its `PT_INTERP` names.
    Interpreter,
}

/// The purpose of a row, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A fixed text.
    Text(&'static str),
    /// To map a segment.
    Segment {
        /// Its place among all program headers, from 0.
        index: usize,
        /// The file.
        file: File,
    },
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Segment { index, file } => {
                let of = match file {
                    File::Program => "the program",
                    File::Interpreter => "the interpreter",
                };
                write!(f, "program header {index} of {of}")
            }
        }
    }
}

impl Row {
    /// A call that has to succeed.
    pub fn must(call: Call, arguments: &[Argument], reason: impl Into<Reason>) -> Self {
        let mut words = [Argument::Value(0); 6];
        words[..arguments.len()].copy_from_slice(arguments);
        Self {
            call,
            words,
            count: arguments.len(),
            policy: Policy::MustSucceed,
            reason: reason.into(),
        }
    }

    /// Its arguments, without zeros for unused ones.
    pub fn arguments(&self) -> &[Argument] {
        &self.words[..self.count]
    }
}

/// Rows, and the bytes that they point to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Row>,
    data: Vec<u8>,
    /// Whether the room is fixed.
    reserved: bool,
    full: bool,
}

const WORD: usize = 8;
const ROW_SIZE: usize = 8 * WORD;
const MAY_FAIL: u64 = 1;

impl Table {
    /// A table with fixed room for so many rows and bytes of data. It never allocates afterwards.
    pub fn with_room(rows: usize, data: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            data: Vec::with_capacity(data),
            reserved: true,
            full: false,
        }
    }

    /// The memory of such a table and of its encoded form, in bytes.
    pub fn size_with_room(rows: usize, data: usize) -> usize {
        const OTHERS: usize = 64 * 1024;
        let rows = rows.saturating_mul(size_of::<Row>() + ROW_SIZE);
        rows.saturating_add(data.saturating_mul(2))
            .saturating_add(OTHERS)
    }

    /// The largest encoded size, in bytes, of a table from [`with_room`](Self::with_room).
    pub fn room(&self) -> usize {
        self.rows.capacity() * ROW_SIZE + self.data.capacity()
    }

    /// Whether something did not fit.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Empties it and keeps its room.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.data.clear();
        self.full = false;
    }

    /// A call that has to succeed.
    pub fn must(&mut self, call: Call, arguments: &[Argument], reason: impl Into<Reason>) {
        self.add(Row::must(call, arguments, reason));
    }

    /// A call that may fail.
    pub fn may(&mut self, call: Call, arguments: &[Argument], reason: impl Into<Reason>) {
        self.add(Row {
            policy: Policy::MayFail,
            ..Row::must(call, arguments, reason)
        });
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        if self.reserved && self.rows.len() == self.rows.capacity() {
            self.full = true;
        } else {
            self.rows.push(row);
        }
    }

    /// Adds bytes that a row may point to.
    pub fn data(&mut self, bytes: &[u8]) -> Argument {
        let offset = self.data.len();
        let end = (offset + bytes.len()).next_multiple_of(WORD);
        if self.reserved && end > self.data.capacity() {
            self.full = true;
            return Argument::Data { offset };
        }
        self.data.extend_from_slice(bytes);
        self.data.resize(end, 0);
        Argument::Data { offset }
    }

    /// The same for words.
    pub fn words<const N: usize>(&mut self, words: [u64; N]) -> Argument {
        let words = words.map(u64::to_ne_bytes);
        self.data(words.as_flattened())
    }

    /// The bytes that rows point to.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The rows in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many bytes [`encode`](Self::encode) gives.
    pub fn size(&self) -> usize {
        self.rows.len() * ROW_SIZE + self.data.len()
    }

    /// Appends the encoded table that is played, for the address `base`, at `file_offset` in the file that is mapped there:
    /// the rows from there on, then the data. Each row is the call's number, six arguments, and the address of the next row,
    /// with bit 0 set if the call may fail. The row at `then` follows the last row; 0 means no row.
    pub fn encode(&self, base: u64, file_offset: u64, then: u64, bytes: &mut Vec<u8>) {
        let data = base + (self.rows.len() * ROW_SIZE) as u64;
        for (index, row) in self.rows.iter().enumerate() {
            let is_last = index + 1 == self.rows.len();
            let next = if is_last {
                then
            } else {
                base + ((index + 1) * ROW_SIZE) as u64
            };
            let policy = if row.policy == Policy::MayFail {
                MAY_FAIL
            } else {
                0
            };
            let word = |argument: &Argument| match argument {
                Argument::Value(value) => *value,
                Argument::Data { offset } => data + *offset as u64,
                Argument::FileOffset { offset } => data - base + file_offset + *offset as u64,
            };
            bytes.extend_from_slice(&row.call.number.to_ne_bytes());
            for argument in &row.words {
                bytes.extend_from_slice(&word(argument).to_ne_bytes());
            }
            bytes.extend_from_slice(&(next | policy).to_ne_bytes());
        }
        bytes.extend_from_slice(&self.data);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.call.name)?;
        for (index, argument) in self.arguments().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match argument {
                Argument::Value(value) if (*value as i64) < 0 && (*value as i64) > -4096 => {
                    write!(f, "{comma}{}", *value as i64)?;
                }
                Argument::Value(value) if *value < 10 => write!(f, "{comma}{value}")?,
                Argument::Value(value) => write!(f, "{comma}{value:#x}")?,
                Argument::Data { offset } => write!(f, "{comma}data+{offset:#x}")?,
                Argument::FileOffset { offset } => write!(f, "{comma}offset of data+{offset:#x}")?,
            }
        }
        write!(f, ") /* {} */", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_linked_and_point_to_the_data_behind_them() {
        let mut table = Table::default();
        let data = table.data(b"abc");
        table.must(call::CLOSE, &[3.into()], "first");
        table.may(call::PRCTL, &[1.into(), data], "second");
        let mut bytes = Vec::new();
        table.encode(0x1000, 0, 0, &mut bytes);
        let word = |index: usize| u64::from_ne_bytes(bytes[index * 8..][..8].try_into().unwrap());
        assert_eq!(
            (word(0), word(1), word(7)),
            (libc::SYS_close as u64, 3, 0x1040)
        );
        assert_eq!(
            (word(8), word(9), word(10), word(15)),
            (libc::SYS_prctl as u64, 1, 0x1080, 1)
        );
        assert_eq!(
            (&bytes[128..], bytes.len()),
            (&b"abc\0\0\0\0\0"[..], table.size())
        );
        assert_eq!(
            table.rows()[1].to_string(),
            "prctl(1, data+0x0) /* second */"
        );
    }

    #[test]
    fn what_does_not_fit_the_reserved_room_is_left_out_and_told() {
        let mut table = Table::with_room(1, 8);
        table.may(call::CLOSE, &[3.into()], "fits");
        table.words([1]);
        assert!(!table.is_full());
        let (rows, data) = (table.rows.as_ptr(), table.data.as_ptr());
        table.may(call::CLOSE, &[4.into()], "does not");
        table.words([2]);
        assert!(table.is_full() && table.size() == table.room());
        assert_eq!((rows, data), (table.rows.as_ptr(), table.data.as_ptr()));
    }
}
