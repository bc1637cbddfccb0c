//! The checks that fail, each with the numbers that prove it.

use std::path::PathBuf;

use nix::errno::Errno;

use super::Role;
use crate::machine;

use super::words::{magic_text, path_text, type_name};
use super::{ChoiceFault, SegmentFault};

/// The check that failed. Variants are facts, with the numbers that prove them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    // Finding and opening the file.
    /// The path does not lead to a file: `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `EBADF` and rarer ones.
    #[error("{}", path_text(*errno))]
    Path {
        /// What openat(2) answered.
        errno: Errno,
    },
    /// A directory, FIFO, socket or device (`EACCES`).
    #[error("{file_type}, not a regular file")]
    NotRegular {
        /// What it is, with an article.
        file_type: &'static str,
    },
    /// The file is on a file system that is mounted noexec (`EACCES`).
    #[error("on a file system mounted noexec")]
    NoExecMount,
    /// No execute permission for the effective user (`EACCES`).
    #[error("no execute permission for this user (mode {mode:04o})")]
    NotExecutable {
        /// The permission bits.
        mode: u32,
    },
    /// execve needs no read permission, a loader in userspace does (`EACCES`).
    #[error(
        "no read permission (mode {mode:04o}): execve would start it, but a program cannot read it"
    )]
    Unreadable {
        /// The permission bits.
        mode: u32,
    },
    /// Somebody has the file open for writing (`ETXTBSY`).
    #[error("open for writing")]
    Busy,
    /// The kernel's own check (`AT_EXECVE_CHECK`) refuses for a reason of its own, such as a security module.
    #[error("the kernel refuses to execute it: {}", errno.desc())]
    Refused {
        /// Its answer.
        errno: Errno,
    },
    /// The file's bits or capabilities would change who runs it, which only execve can do (`EPERM`).
    #[error("{what}, which only the kernel can honour")]
    SetId {
        /// Which bits or capabilities.
        what: Privilege,
    },
    /// Reading the file failed.
    #[error("cannot be read: {}", errno.desc())]
    Read {
        /// What pread(2) answered.
        errno: Errno,
    },
    /// The file system of the file cannot map it (`ENOEXEC`).
    #[error("its file system cannot map files into memory")]
    NotMappable,

    /// execveat(2) does not know these flags (`EINVAL`).
    #[error("unknown flags {flags:#x}")]
    Flags {
        /// All flags of the call.
        flags: i32,
    },

    // Arguments and environment.
    /// A pointer leads to memory that cannot be read (`EFAULT`).
    #[error("{what} lies at a bad address")]
    BadAddress {
        /// What it is that cannot be read.
        what: &'static str,
    },
    /// A string has a NUL byte inside (`EINVAL`); execve has no way to be asked for this.
    #[error("{what} contains a NUL byte")]
    NulByte {
        /// Which string.
        what: &'static str,
    },
    /// A single string is too long (`E2BIG`).
    #[error("a string of {size:#x} bytes with its NUL is longer than the limit of {limit:#x}")]
    StringTooLong {
        /// Its size with the NUL, in bytes.
        size: u64,
        /// The limit, in bytes: 32 pages.
        limit: u64,
    },
    /// All strings and pointers together are too large (`E2BIG`).
    #[error(
        "arguments and environment need {size:#x} bytes, more than the limit of {limit:#x} (see RLIMIT_STACK in execve(2))"
    )]
    ArgumentsTooLarge {
        /// Bytes of strings and pointers up to and with the first string that does not fit.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The strings do not fit the stack that `RLIMIT_STACK` or `RLIMIT_AS` allows (`E2BIG`).
    #[error("arguments and environment need {size:#x} bytes of stack, the limit is {limit:#x}")]
    ArgumentsExceedStack {
        /// Bytes of stack they touch, in whole pages.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },

    // Scripts.
    /// `#!` with nothing but blanks after it (`ENOEXEC`).
    #[error("no interpreter after #!")]
    ScriptWithoutInterpreter,
    /// The interpreter's path is not seen to end (`ENOEXEC`).
    #[error("the path after #! does not end within {limit} bytes")]
    ScriptLineTooLong {
        /// How many bytes are looked at.
        limit: usize,
    },
    /// Scripts that name scripts, too deep (`ELOOP`).
    #[error("more than {limit} interpreters in a row")]
    ScriptsTooDeep {
        /// How many are allowed.
        limit: usize,
    },
    /// The script came by a descriptor that will be closed, so that its interpreter could not open it (`ENOENT`).
    #[error("a script on a close-on-exec descriptor: its interpreter could not open it")]
    ScriptInaccessible,

    // The ELF header and the program headers.
    /// The file is shorter than an ELF header (`EIO`).
    #[error("only {size} bytes, an ELF header has 64")]
    HeaderTruncated {
        /// Its size in bytes.
        size: usize,
    },
    /// No ELF magic: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("{}", magic_text(*found, *role))]
    NoMagic {
        /// The first four bytes; zeros beyond the end of the file.
        found: [u8; 4],
        /// Whose header it is.
        role: Role,
    },
    /// `e_type` is neither `ET_EXEC` nor `ET_DYN` (`ENOEXEC`).
    #[error("e_type at 0x10 is {found}{}, must be 2 (ET_EXEC) or 3 (ET_DYN)", type_name(*found))]
    Type {
        /// `e_type`.
        found: u16,
    },
    /// Another processor's program: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("for {} (e_machine at 0x12 is {found}), this is {} ({expected})", machine::name(*found), machine::name(*expected))]
    Machine {
        /// `e_machine`.
        found: u16,
        /// This processor's.
        expected: u16,
        /// Whose header it is.
        role: Role,
    },
    /// `e_phentsize` is wrong: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("e_phentsize at 0x36 is {found}, must be 56")]
    ProgramHeaderSize {
        /// `e_phentsize`.
        found: u16,
        /// Whose header it is.
        role: Role,
    },
    /// None or too many program headers: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error("e_phnum at 0x38 is {found}, must be 1 to 1170")]
    ProgramHeaderCount {
        /// `e_phnum`.
        found: u16,
        /// Whose header it is.
        role: Role,
    },
    /// The program headers lie (partly) beyond the end of the file: `ENOEXEC`, in an interpreter `ELIBBAD`.
    #[error(
        "program headers at {offset:#x} (e_phoff at 0x20): {found:#x} of {size:#x} bytes are in the file"
    )]
    ProgramHeadersTruncated {
        /// `e_phoff`.
        offset: u64,
        /// Their size in bytes.
        size: usize,
        /// How many bytes were read.
        found: usize,
        /// Whose header it is.
        role: Role,
    },
    /// `PT_INTERP` is too small or too large (`ENOEXEC`).
    #[error("p_filesz of PT_INTERP at {at:#x} is {found:#x}, must be 2 to 4096")]
    InterpreterPathSize {
        /// Where the field is in the file.
        at: u64,
        /// Its `p_filesz`.
        found: u64,
    },
    /// `PT_INTERP` lies at no valid file offset (`EINVAL`).
    #[error("p_offset of PT_INTERP at {at:#x} is {found:#x}, which is negative as a file offset")]
    InterpreterPathOffset {
        /// Where the field is in the file.
        at: u64,
        /// Its `p_offset`.
        found: u64,
    },
    /// `PT_INTERP` lies (partly) beyond the end of the file (`EIO`).
    #[error("the path of PT_INTERP at {offset:#x}: {found:#x} of {size:#x} bytes are in the file")]
    InterpreterPathTruncated {
        /// Its `p_offset`.
        offset: u64,
        /// Its `p_filesz`.
        size: u64,
        /// How many bytes were read.
        found: usize,
    },
    /// `PT_INTERP` does not end with a NUL (`ENOEXEC`).
    #[error("the path of PT_INTERP at {offset:#x}, {size:#x} bytes, does not end with a NUL")]
    InterpreterPathUnterminated {
        /// Its `p_offset`.
        offset: u64,
        /// Its `p_filesz`.
        size: u64,
    },

    // What execve finds only after its point of no return: it kills the process.
    /// A `PT_LOAD` cannot be mapped as it stands.
    #[error("program header {index} at {header:#x}: {fault}")]
    Segment {
        /// Its place among all program headers, from 0.
        index: usize,
        /// Where that program header is in the file.
        header: u64,
        /// What is wrong with it.
        fault: SegmentFault,
    },
    /// The image has no size: no `PT_LOAD`, or only empty ones.
    #[error("nothing to load (no PT_LOAD with a size)")]
    NothingToLoad,
    /// The interpreter is neither `ET_EXEC` nor `ET_DYN`.
    #[error("e_type at 0x10 is neither 2 (ET_EXEC) nor 3 (ET_DYN)")]
    InterpreterType,
    /// The first instruction is outside of user memory.
    #[error("entry point {entry:#x} is outside of user memory, which ends at {task_size:#x}")]
    Entry {
        /// Its address.
        entry: u64,
        /// Where user memory ends.
        task_size: u64,
    },
    /// There is no room for the image.
    #[error("no room for {size:#x} bytes in the address space")]
    NoRoom {
        /// How many bytes it needs.
        size: u64,
    },
    /// The place is taken by the new program's own stack.
    #[error("{start:#x}..{end:#x} is taken by the stack")]
    Occupied {
        /// Start of the range that was wanted.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// Below the lowest address that this user may map.
    #[error("address {address:#x} is below vm.mmap_min_addr ({limit:#x})")]
    BelowMinimum {
        /// The address.
        address: u64,
        /// The sysctl's value.
        limit: u64,
    },
    /// A resource limit or the overcommit rule does not allow so much memory.
    #[error("{needed:#x} bytes of memory are more than {limit_name} allows ({limit:#x})")]
    MemoryLimit {
        /// Which limit.
        limit_name: &'static str,
        /// How many bytes there would be.
        needed: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The stack limit leaves no room for the pointers and the auxiliary vector.
    #[error("the initial stack needs {needed:#x} bytes, RLIMIT_STACK is {limit:#x}")]
    StackLimit {
        /// How many bytes it needs.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// A segment lies over the initial stack, so that its tables cannot be written.
    #[error("the initial stack at {address:#x} lies under a segment that is not writable")]
    StackCovered {
        /// An address that is to be written.
        address: u64,
    },
    /// `PR_SET_MDWE` forbids memory that is both writable and executable.
    #[error(
        "program header {index} at {header:#x}: writable and executable, which PR_SET_MDWE forbids"
    )]
    SegmentDeniedByMdwe {
        /// Its place among all program headers, from 0.
        index: usize,
        /// Where that program header is in the file.
        header: u64,
    },

    /// What the caller chose cannot be had; execve is never asked for it.
    #[error("{fault}")]
    Choice {
        /// What, and why not.
        fault: ChoiceFault,
    },

    // What stands in the way in this process: execve would go on.
    /// The memory is shared with another process, as in a vfork child (`EBUSY`).
    #[error(
        "the memory of this process is shared with another one (vfork or clone): replacing it would destroy that one"
    )]
    SharedMemory,
    /// Another thread opened more descriptors meanwhile than there was room for, several times in a row (`EAGAIN`).
    #[error("other threads keep changing the process")]
    Changing,
    /// Another thread cannot be stopped: it sleeps where no signal and no tracer reaches it (`EBUSY`).
    #[error(
        "another thread does not stop: it waits where nothing reaches it, or blocks all signals and may not be traced"
    )]
    ThreadDoesNotStop,
    /// The new program would run on the first thread, which differs from the caller in what cannot be handed on, or has
    /// ended (`EBUSY`).
    #[error("the first thread of the process, on which the program would run, has {what}")]
    Leader {
        /// What it has.
        what: &'static str,
    },
    /// A mapping of the old program is sealed and cannot go (`EPERM`).
    #[error("mapping {start:#x}..{end:#x} of this process is sealed (mseal) and cannot be removed")]
    Sealed {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// The registration of a restartable-sequences area can be neither found nor undone (`EBUSY`).
    #[error("the restartable-sequences area of this thread is not the C library's, or may not be asked for: {}", errno.desc())]
    UnknownRseq {
        /// What rseq(2) answered.
        errno: Errno,
    },
    /// execve may make a stack executable under `PR_SET_MDWE`; userspace may not (`EACCES`).
    #[error("{what}, which execve may make under PR_SET_MDWE and userspace may not")]
    DeniedByMdwe {
        /// What would have to be writable and executable.
        what: &'static str,
    },
    /// A system call that preparing needs was refused.
    #[error("{call}: {}", errno.desc())]
    System {
        /// Its name, with what it was for.
        call: &'static str,
        /// Its answer.
        errno: Errno,
    },
    /// The working directory that the caller chose cannot be entered: as chdir(2) answers.
    #[error("working directory {}: {}", path.display(), errno.desc())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The answer.
        errno: Errno,
    },
    /// Something under /proc does not read as expected (`EIO`).
    #[error("{path} is not as expected")]
    Proc {
        /// Which file.
        path: &'static str,
    },
}

/// What a file would give to the program that it holds; see [`Cause::SetId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Privilege {
    /// The rights of this user.
    #[error("it is set-user-id (to user {0})")]
    User(u32),
    /// The rights of this group.
    #[error("it is set-group-id (to group {0})")]
    Group(u32),
    /// Capabilities.
    #[error("it has file capabilities")]
    Capabilities,
}
