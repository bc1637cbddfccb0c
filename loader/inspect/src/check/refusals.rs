//! The names of findings for files that execve rejects or kills, with the kernel function, a hint, and the cause of each.

use nix::errno::Errno;

use crate::error::{
    ArgumentsFault, Cause, HeaderFault, LoadFault, OpenFault, ScriptFault, SegmentFault, Subject,
};

use super::Check;
use super::name::checks;

checks! { REFUSALS:
    NOT_FOUND = Error "not-found", "E-4", "path_openat in fs/namei.c",
        "the path does not lead to a file", "check the path, and symbolic links on it whose target is missing";
    PATH_REFUSED = Error "path-refused", "E-4", "path_openat in fs/namei.c",
        "the path cannot be resolved: a part is not a directory, no search permission, too many links, or too long",
        "`namei -l PATH` shows each component with its permissions";
    NOT_A_REGULAR_FILE = Error "not-a-regular-file", "E-5", "may_open in fs/namei.c",
        "a directory, FIFO, socket or device", "";
    NOEXEC_MOUNT = Error "noexec-mount", "E-6", "path_noexec in fs/exec.c",
        "the file system is mounted noexec",
        "copy it elsewhere, or `supplant run --ignore-noexec`, which runs a copy in memory";
    NO_EXECUTE_PERMISSION = Error "no-execute-permission", "E-7", "inode_permission in fs/namei.c",
        "this user may not execute the file", "chmod +x";
    NO_READ_PERMISSION = Unknown "no-read-permission", "P-30", "would_dump in fs/exec.c",
        "this user may execute the file but not read it, so its contents cannot be checked",
        "check it as a user who may read it; `supplant run` cannot load it as this user";
    OPEN_FOR_WRITING = Error "open-for-writing", "E-9", "exe_file_deny_write_access in fs/exec.c",
        "a process has the file open for writing", "`fuser -v FILE` shows the process; close the file there";
    KERNEL_REFUSES = Error "kernel-refuses", "E-16", "security_bprm_creds_for_exec in security/security.c",
        "the kernel's own check (AT_EXECVE_CHECK) refuses, for example because of a security module",
        "look into the kernel's log and the audit log";
    UNREADABLE = Error "unreadable", "E-17", "prepare_binprm in fs/exec.c",
        "the file cannot be read", "the disk or the file system has an error";
    ARGUMENTS = Error "arguments-too-large", "E-13, E-20, E-24", "copy_strings in fs/exec.c",
        "the environment does not fit", "use a smaller environment, or a larger RLIMIT_STACK (ulimit -s)";
    NOT_A_PROGRAM = Error "not-a-program", "E-18", "search_binary_handler in fs/exec.c",
        "neither an ELF file nor a script", "";
    SCRIPT_WITHOUT_INTERPRETER = Error "script-without-interpreter", "B-7", "load_script in fs/binfmt_script.c",
        "only blanks after #!", "write the interpreter's path after #!";
    SCRIPT_LINE_TOO_LONG = Error "script-line-too-long", "B-2", "load_script in fs/binfmt_script.c",
        "the interpreter's path on the #! line does not end within 256 bytes",
        "use a shorter path, for example a symbolic link";
    SCRIPTS_TOO_DEEP = Error "scripts-too-deep", "B-12, E-19", "exec_binprm in fs/exec.c",
        "more than five interpreters in a row that are scripts themselves",
        "name the binary interpreter at the end of the chain";
    INTERPRETER_NOT_FOUND = Error "interpreter-not-found", "H-13, B-11", "open_exec in fs/exec.c",
        "the interpreter that the file names does not exist", "";
    WRONG_TYPE = Error "wrong-type", "H-2", "load_elf_binary in fs/binfmt_elf.c",
        "e_type is neither ET_EXEC nor ET_DYN", "";
    OTHER_MACHINE = Error "other-machine", "H-3", "elf_check_arch, by load_elf_binary in fs/binfmt_elf.c",
        "the file is for another processor",
        "run it on such a machine, or with an emulator such as qemu-user";
    NEEDS_32_BIT = Unknown "needs-32-bit", "H-3", "compat_elf_check_arch in fs/compat_binfmt_elf.c",
        "a 32-bit program: another part of the kernel loads it, and the rules of that part are not checked",
        "`supplant run` does not load 32-bit programs";
    FILE_SYSTEM_CANNOT_MAP = Error "file-system-cannot-map", "H-4", "load_elf_binary in fs/binfmt_elf.c",
        "the file system cannot map files into memory", "copy it to another file system";
    PROGRAM_HEADER_SIZE = Error "program-header-size", "H-5", "load_elf_phdrs in fs/binfmt_elf.c",
        "e_phentsize is not 56", "the header is damaged; link the file again";
    PROGRAM_HEADER_COUNT = Error "program-header-count", "H-6", "load_elf_phdrs in fs/binfmt_elf.c",
        "no program headers, or more than 1170",
        "an object file or a separate debug file has none; otherwise the header is damaged";
    PROGRAM_HEADERS_TRUNCATED = Error "program-headers-truncated", "H-7", "load_elf_phdrs in fs/binfmt_elf.c",
        "the program headers are beyond the end of the file", "the file is truncated: copy or download it again";
    HEADER_TRUNCATED = Error "header-truncated", "H-50", "elf_read in fs/binfmt_elf.c",
        "the interpreter is shorter than an ELF header", "install the interpreter again";
    INTERPRETER_PATH = Error "interpreter-path-damaged", "H-12", "load_elf_binary in fs/binfmt_elf.c",
        "the path in PT_INTERP has a wrong size, no NUL at its end, or is beyond the end of the file",
        "`patchelf --set-interpreter` writes a new one; or the file is truncated";
    SEGMENT_SIZES = Error "segment-file-size-above-memory-size", "H-31", "load_elf_binary in fs/binfmt_elf.c",
        "a segment has more bytes in the file than in memory", "the program header is damaged; link the file again";
    SEGMENT_ADDRESS = Error "segment-outside-user-memory", "H-31", "load_elf_binary in fs/binfmt_elf.c",
        "a segment's addresses are outside user memory", "link it at another address, or as PIE";
    SEGMENT_MISALIGNED = Error "segment-misaligned", "H-32", "elf_map in fs/binfmt_elf.c",
        "a segment's offset and address differ within a page",
        "link it with -z max-page-size of at least this machine's page size";
    SEGMENT_OFFSET = Error "segment-offset", "H-32", "elf_map in fs/binfmt_elf.c, ksys_mmap_pgoff in mm/mmap.c",
        "a segment's offset is not a valid file offset", "the program header is damaged; link the file again";
    BSS_BEYOND_FILE = Error "bss-beyond-end-of-file", "H-33", "padzero in fs/binfmt_elf.c",
        "a bss cannot be zeroed: its first page is beyond the end of the file",
        "the file is truncated: copy or download it again";
    NOTHING_TO_LOAD = Error "nothing-to-load", "H-9, H-51", "total_mapping_size in fs/binfmt_elf.c",
        "no segment has a size", "";
    ENTRY_OUTSIDE = Error "entry-outside-user-memory", "H-39", "load_elf_binary in fs/binfmt_elf.c",
        "the first instruction is not in user memory", "the header is damaged; link the file again";
    NO_ROOM = Error "no-room", "M-6, M-42", "vm_unmapped_area in mm/vma.c",
        "the address space has no room for it", "a larger RLIMIT_AS does not help: its segments are too far apart";
    OCCUPIED = Error "occupied-by-stack", "M-1", "elf_map in fs/binfmt_elf.c",
        "its fixed addresses are in use by the stack", "link it at another address, or as PIE";
    BELOW_MINIMUM = Error "below-mmap-min-addr", "M-1", "cap_mmap_addr in security/commoncap.c",
        "a segment is below the lowest address that this user may map",
        "link it at another address; or lower vm.mmap_min_addr";
    MEMORY_LIMIT = Error "memory-limit", "H-38", "may_expand_vm in mm/mmap.c",
        "a resource limit or the overcommit rule does not allow so much memory",
        "raise the limit (ulimit -v, ulimit -d), or see vm.overcommit_memory";
    STACK_LIMIT = Error "stack-limit", "E-24", "setup_arg_pages in fs/exec.c",
        "RLIMIT_STACK leaves no room for the initial stack", "raise it (ulimit -s)";
    STACK_COVERED = Error "stack-covered", "M-1", "create_elf_tables in fs/binfmt_elf.c",
        "a segment that is not writable covers the initial stack, where the kernel finally writes the tables",
        "link it at another address, or as PIE";
    DENIED_BY_MDWE = Error "denied-by-mdwe", "H-37", "map_deny_write_exec in include/linux/mman.h",
        "a segment is writable and executable, which PR_SET_MDWE forbids here",
        "link it without such a segment, or start it without that restriction";
    NOT_CHECKED = Unknown "not-checked", "", "",
        "the check could not be completed", "";
}

impl Check {
    /// The finding's name for this cause.
    pub(super) fn of(cause: &Cause, subject: &Subject) -> &'static Self {
        match cause {
            Cause::Open(fault) => Self::of_opening(fault, subject),
            Cause::Arguments(fault) => Self::of_arguments(fault),
            Cause::Script(fault) => Self::of_script(fault),
            Cause::Header(fault) => Self::of_header(fault),
            Cause::Load(fault) => Self::of_load(*fault),
            // Only affects this process, or the check itself failed.
            _ => &NOT_CHECKED,
        }
    }

    fn of_opening(fault: &OpenFault, subject: &Subject) -> &'static Self {
        match fault {
            OpenFault::Path {
                errno: Errno::ENOENT,
            } if *subject != Subject::Program => &INTERPRETER_NOT_FOUND,
            OpenFault::Path {
                errno: Errno::ENOENT,
            } => &NOT_FOUND,
            // execve needs no descriptor.
            OpenFault::Path {
                errno: Errno::EMFILE | Errno::ENFILE,
            } => &NOT_CHECKED,
            OpenFault::Path { .. } => &PATH_REFUSED,
            OpenFault::NotRegular { .. } => &NOT_A_REGULAR_FILE,
            OpenFault::NoExecMount => &NOEXEC_MOUNT,
            OpenFault::NotExecutable { .. } => &NO_EXECUTE_PERMISSION,
            OpenFault::Unreadable { .. } => &NO_READ_PERMISSION,
            OpenFault::Busy => &OPEN_FOR_WRITING,
            OpenFault::Refused { .. } => &KERNEL_REFUSES,
            OpenFault::Read { .. } => &UNREADABLE,
            OpenFault::NotMappable => &FILE_SYSTEM_CANNOT_MAP,
            _ => &NOT_CHECKED,
        }
    }

    fn of_arguments(fault: &ArgumentsFault) -> &'static Self {
        match fault {
            ArgumentsFault::StringTooLong { .. }
            | ArgumentsFault::TooLarge { .. }
            | ArgumentsFault::ExceedStack { .. } => &ARGUMENTS,
            ArgumentsFault::BadAddress { .. }
            | ArgumentsFault::NulByte { .. }
            | ArgumentsFault::TooLittleMemory { .. } => &NOT_CHECKED,
        }
    }

    fn of_script(fault: &ScriptFault) -> &'static Self {
        match fault {
            ScriptFault::NoInterpreter => &SCRIPT_WITHOUT_INTERPRETER,
            ScriptFault::LineTooLong { .. } => &SCRIPT_LINE_TOO_LONG,
            ScriptFault::TooDeep { .. } => &SCRIPTS_TOO_DEEP,
            ScriptFault::Inaccessible => &NOT_CHECKED,
        }
    }

    fn of_header(fault: &HeaderFault) -> &'static Self {
        match fault {
            HeaderFault::Read { .. } => &UNREADABLE,
            HeaderFault::Truncated { .. } => &HEADER_TRUNCATED,
            HeaderFault::NoMagic { .. } => &NOT_A_PROGRAM,
            HeaderFault::Type { .. } => &WRONG_TYPE,
            HeaderFault::Machine { .. } => &OTHER_MACHINE,
            HeaderFault::ProgramHeaderSize { .. } => &PROGRAM_HEADER_SIZE,
            HeaderFault::ProgramHeaderCount { .. } => &PROGRAM_HEADER_COUNT,
            HeaderFault::ProgramHeadersTruncated { .. } => &PROGRAM_HEADERS_TRUNCATED,
            HeaderFault::InterpreterPathSize { .. }
            | HeaderFault::InterpreterPathOffset { .. }
            | HeaderFault::InterpreterPathTruncated { .. }
            | HeaderFault::InterpreterPathUnterminated { .. } => &INTERPRETER_PATH,
        }
    }

    fn of_load(fault: LoadFault) -> &'static Self {
        match fault {
            LoadFault::InterpreterType => &WRONG_TYPE,
            LoadFault::Segment { fault, .. } => Self::of_segment(fault),
            LoadFault::DeniedByMdwe { .. } => &DENIED_BY_MDWE,
            LoadFault::NothingToLoad => &NOTHING_TO_LOAD,
            LoadFault::Entry { .. } => &ENTRY_OUTSIDE,
            LoadFault::NoRoom { .. } => &NO_ROOM,
            LoadFault::Occupied { .. } => &OCCUPIED,
            LoadFault::BelowMinimum { .. } => &BELOW_MINIMUM,
            LoadFault::MemoryLimit { .. } => &MEMORY_LIMIT,
            LoadFault::StackLimit { .. } => &STACK_LIMIT,
            LoadFault::StackCovered { .. } => &STACK_COVERED,
        }
    }

    fn of_segment(fault: SegmentFault) -> &'static Self {
        match fault {
            SegmentFault::FileLargerThanMemory { .. } => &SEGMENT_SIZES,
            SegmentFault::OutsideUserMemory { .. } => &SEGMENT_ADDRESS,
            SegmentFault::Misaligned { .. } => &SEGMENT_MISALIGNED,
            SegmentFault::Offset { .. } => &SEGMENT_OFFSET,
            SegmentFault::TailBeyondFile { .. } => &BSS_BEYOND_FILE,
        }
    }
}
