//! The names of findings about files that start but may have a problem.

use super::name::checks;

checks! { WARNINGS:
    // The ELF header.
    EI_CLASS = Warning "ei-class", "H-8", "",
        "EI_CLASS is not 2 (64-bit): the kernel ignores it, but other programs do not", "";
    EI_DATA = Warning "ei-data", "H-8", "",
        "EI_DATA does not fit the processor: the kernel ignores it, but other programs do not", "";
    EI_VERSION = Warning "elf-version", "H-8", "",
        "EI_VERSION or e_version is not 1: the kernel ignores them, but other programs do not", "";
    EI_OSABI = Note "ei-osabi", "H-8", "",
        "EI_OSABI is neither 0 (System V) nor 3 (GNU), or EI_ABIVERSION is not 0: the kernel ignores them", "";
    EI_PAD = Note "ei-pad", "H-8", "",
        "the padding of e_ident is not zero: the kernel ignores it", "";
    E_EHSIZE = Warning "e-ehsize", "H-8", "",
        "e_ehsize is not 64: the kernel ignores it, but other programs do not", "";
    E_FLAGS = Note "e-flags", "H-8", "",
        "e_flags is not 0: the kernel ignores it on this machine", "";
    ENTRY_NOT_EXECUTABLE = Warning "entry-not-executable", "H-39", "load_elf_binary in fs/binfmt_elf.c",
        "the first instruction is not in an executable segment: the program starts, but is killed at once (SIGSEGV)",
        "is it a shared library, or was it linked without a start file?";
    SHARED_LIBRARY = Note "shared-library", "H-2", "",
        "a shared library: execve starts it anyway", "";
    THIRTY_TWO_BIT = Note "32-bit", "H-3", "", "a 32-bit program", "";
    BIG_ENDIAN = Note "big-endian", "H-8", "", "a big-endian program", "";

    // Segments.
    NO_LOAD_SEGMENT = Warning "no-load-segment", "H-9", "load_elf_binary in fs/binfmt_elf.c",
        "no PT_LOAD: execve starts it, but nothing is mapped, and it is killed at once (SIGSEGV)", "";
    WRITABLE_EXECUTABLE = Warning "writable-executable-segment", "H-37", "make_prot in fs/binfmt_elf.c",
        "a segment is both writable and executable", "link without -N and without -z execstack; check linker scripts";
    NO_PERMISSIONS = Note "segment-without-permissions", "H-37", "make_prot in fs/binfmt_elf.c",
        "a segment is neither readable nor writable nor executable", "";
    SEGMENTS_OVERLAP = Warning "segments-overlap", "H-35", "elf_map in fs/binfmt_elf.c",
        "segments overlap: the later one in the table replaces the earlier one", "";
    SEGMENTS_SHARE_PAGE = Warning "segments-share-page", "H-35", "elf_map in fs/binfmt_elf.c",
        "segments share a page: the later one in the table replaces the earlier one there, with its permissions",
        "link with -z max-page-size of at least the machine's page size";
    SEGMENTS_UNSORTED = Note "segments-unsorted", "H-30", "load_elf_binary in fs/binfmt_elf.c",
        "the segments are not sorted by address, which the specification requires", "";
    HOLE = Note "hole-between-segments", "M-2", "total_mapping_size in fs/binfmt_elf.c",
        "pages between two segments are not mapped; in a PIE, other mappings may be placed there", "";
    EMPTY_SEGMENT = Note "empty-segment", "H-34", "elf_load in fs/binfmt_elf.c",
        "a segment without bytes and with size 0", "";
    BSS_READ_ONLY = Warning "bss-not-zeroed", "M-22", "elf_load in fs/binfmt_elf.c",
        "a segment that is larger in memory than in the file is not writable: the rest of its last page contains the file's bytes, not zeros", "";
    BEYOND_FILE = Warning "segment-beyond-end-of-file", "H-33", "filemap_fault in mm/filemap.c",
        "pages of a segment are beyond the end of the file: access to them causes SIGBUS", "the file is truncated: copy or download it again";
    ALIGN = Warning "align-not-power-of-two", "H-36", "maximum_alignment in fs/binfmt_elf.c",
        "p_align is not a power of two: the kernel ignores it", "";
    ALIGN_NOT_CONGRUENT = Warning "align-not-congruent", "H-36", "",
        "a segment's offset and address differ modulo p_align, which the specification forbids; the kernel only requires that they agree within a page", "";
    PAGE_SIZE = Warning "page-size", "H-32", "elf_map in fs/binfmt_elf.c",
        "on a machine with pages of this size, execve would kill the process: offset and address differ within a page",
        "link with -z max-page-size=65536";
    LOW_ADDRESS = Warning "low-address", "M-1", "cap_mmap_addr in security/commoncap.c",
        "a segment is below 65536, the usual vm.mmap_min_addr: only a privileged user may map it", "link it at another address, or as PIE";
    FIXED_ADDRESS = Note "fixed-address", "M-1", "load_elf_binary in fs/binfmt_elf.c",
        "ET_EXEC: the program is not position-independent, so its address is never random", "link with -pie";
    HEADERS_NOT_IN_MEMORY = Warning "program-headers-not-in-memory", "M-52", "load_elf_binary in fs/binfmt_elf.c",
        "no segment contains the program headers: AT_PHDR points to something else, which confuses ld.so and libc", "";
    PHDR_DISAGREES = Warning "pt-phdr-disagrees", "H-18", "",
        "PT_PHDR gives another place for the program headers: ld.so computes the bias from it", "";
    TLS_BEYOND = Warning "tls-beyond-segments", "H-18", "",
        "PT_TLS is not in a segment: the start of every thread reads unmapped memory", "";

    // The stack, RELRO, the interpreter.
    EXECUTABLE_STACK = Warning "executable-stack", "H-16, M-26", "setup_arg_pages in fs/exec.c",
        "PT_GNU_STACK asks for an executable stack", "add .note.GNU-stack to assembly files; link with -z noexecstack";
    NO_STACK_HEADER = Warning "no-stack-header", "H-16", "load_elf_binary in fs/binfmt_elf.c",
        "no PT_GNU_STACK: the kernel's default for this machine applies, and ld.so makes stacks executable", "link with -z noexecstack";
    SEVERAL_STACK_HEADERS = Warning "several-stack-headers", "H-16", "load_elf_binary in fs/binfmt_elf.c",
        "more than one PT_GNU_STACK: the last one is used", "";
    RELRO_UNALIGNED = Warning "relro-not-page-aligned", "", "",
        "PT_GNU_RELRO does not end at a page boundary: the last part stays writable", "link with -z max-page-size of at least the machine's page size";
    RELRO_BEYOND = Warning "relro-beyond-segments", "", "",
        "PT_GNU_RELRO is not within a writable segment", "";
    SEVERAL_INTERPRETERS = Warning "several-interpreters", "H-11, H-15", "load_elf_binary in fs/binfmt_elf.c",
        "more than one PT_INTERP: the first one is used", "";
    INTERPRETER_UNUSUAL = Warning "interpreter-unusual", "H-13", "load_elf_binary in fs/binfmt_elf.c",
        "PT_INTERP does not name a usual dynamic linker", "is it a path on the build machine? `patchelf --set-interpreter` changes it";
    INTERPRETER_RELATIVE = Warning "interpreter-relative", "H-13", "open_exec in fs/exec.c",
        "the interpreter's path is relative: it depends on the working directory", "";
    INTERPRETER_CUT = Warning "interpreter-nul-inside", "H-12", "load_elf_binary in fs/binfmt_elf.c",
        "the path in PT_INTERP ends before the segment does", "";
    DYNAMIC_WITHOUT_INTERPRETER = Warning "needs-libraries-without-interpreter", "H-9", "",
        "it needs shared libraries, but names no interpreter to load them", "";

    // Section tables, which execve does not read.
    NO_SECTIONS = Note "no-section-headers", "H-8", "",
        "no section headers: debuggers find no symbols", "";
    SECTIONS_DAMAGED = Warning "section-headers-damaged", "H-8", "",
        "the section headers, their names or their contents are beyond the end of the file, or have a wrong size", "";
    SECTION_NOT_LOADED = Warning "section-not-loaded", "H-8", "",
        "a section that needs memory (SHF_ALLOC) is not in a segment", "";
    SECTION_DISAGREES = Warning "section-disagrees", "H-8", "",
        "a section and the segment that holds it disagree about which bytes of the file are at its address", "";
    TRAILING_DATA = Note "trailing-data", "H-8", "",
        "the file continues after all segments and sections: data is appended", "";

    // Set-id bits and capabilities.
    SET_USER_ID = Warning "set-user-id", "P-27", "bprm_fill_uid in fs/exec.c",
        "the set-user-id bit: execve changes the effective user", "";
    SET_GROUP_ID = Warning "set-group-id", "P-27", "bprm_fill_uid in fs/exec.c",
        "the set-group-id bit: execve changes the effective group", "";
    FILE_CAPABILITIES = Warning "file-capabilities", "P-27", "get_file_caps in security/commoncap.c",
        "the file has capabilities", "";

    // Scripts.
    SCRIPT = Note "script", "B-9, B-11", "load_script in fs/binfmt_script.c",
        "a script: execve starts the interpreter on its #! line, with the script's path as an argument", "";
    CARRIAGE_RETURN = Warning "carriage-return", "B-4", "load_script in fs/binfmt_script.c",
        "the #! line ends in a carriage return (DOS line endings), which becomes a part of the path or the argument",
        "convert the line endings: dos2unix, or sed -i 's/\\r$//'";
    SCRIPT_RELATIVE = Warning "script-interpreter-relative", "B-11", "open_exec in fs/exec.c",
        "the interpreter on the #! line has a relative path: it depends on the working directory", "";
    SCRIPT_ONE_ARGUMENT = Warning "script-one-argument", "B-6", "load_script in fs/binfmt_script.c",
        "everything after the interpreter on the #! line is one argument, blanks included", "env -S splits it";
    SCRIPT_CUT = Warning "script-line-cut", "B-6", "load_script in fs/binfmt_script.c",
        "the #! line is longer than 256 bytes: the kernel ignores the rest", "";
    SCRIPT_SET_ID = Note "script-set-id", "B-14", "bprm_creds_from_file in fs/exec.c",
        "the kernel ignores the set-id bits of a script", "";
    BINFMT_MISC = Unknown "binfmt-misc", "B-20", "load_misc_binary in fs/binfmt_misc.c",
        "binfmt_misc has an interpreter for such files: execve starts it instead", "check that interpreter; `supplant run` does not follow it";
    KERNEL_DISAGREES = Warning "kernel-disagrees", "E-16, V-7", "bprm_execve in fs/exec.c",
        "the kernel's own check (AT_EXECVE_CHECK), which ignores the format, gives another answer",
        "please report it: the result of supplant for this file is wrong";
}
