//! The differences between processors as plain numbers, so that one can plan a load for another.

/// The usual name of the processor with this number in `e_machine`.
pub fn name(number: u16) -> &'static str {
    match number {
        3 => "i386",
        40 => "32-bit ARM",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        258 => "LoongArch",
        other => goblin::elf::header::machine_to_str(other),
    }
}

/// The processor an ELF file is for (`e_machine`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// `EM_X86_64`.
    X86_64,
    /// `EM_AARCH64`.
    Aarch64,
}

impl Machine {
    /// The machine with this value of `e_machine`.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            62 => Some(Self::X86_64),
            183 => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The machine with this usual name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "x86-64" | "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The page sizes that Linux can have on it, in bytes.
    pub const fn page_sizes(self) -> &'static [u64] {
        match self {
            Self::X86_64 => &[4096],
            Self::Aarch64 => &[4096, 16384, 65536],
        }
    }

    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The value of `e_machine`.
    pub const fn number(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }

    /// What `AT_PLATFORM` points to, with its NUL.
    pub const fn platform(self) -> &'static [u8] {
        match self {
            Self::X86_64 => b"x86_64\0",
            Self::Aarch64 => b"aarch64\0",
        }
    }

    /// Where the stack ends without randomisation (`STACK_TOP`). x86-64 leaves the last page free, because of a flaw in
    /// some processors.
    pub const fn stack_top(self) -> u64 {
        match self {
            Self::X86_64 => (1 << 47) - 4096,
            Self::Aarch64 => 1 << 48,
        }
    }

    /// Where position-independent programs with an interpreter start (`ELF_ET_DYN_BASE`), not rounded to whole pages.
    pub const fn et_dyn_base(self) -> u64 {
        match self {
            Self::X86_64 => self.stack_top() / 3 * 2,
            Self::Aarch64 => 2 * self.stack_top() / 3,
        }
    }

    /// The mask for the random offset of the top of the stack, in pages of 4 KiB.
    pub const fn stack_random_pages(self) -> u64 {
        match self {
            Self::X86_64 => 0x3f_ffff,
            Self::Aarch64 => 0x3_ffff,
        }
    }

    /// The gap below the argument strings varies by less than this many bytes (`arch_align_stack`).
    pub const fn stack_gap_range(self, page_size: u64) -> u64 {
        match self {
            Self::X86_64 => 8192,
            Self::Aarch64 => page_size,
        }
    }

    /// The start of the heap varies by less than this many bytes (`arch_randomize_brk`).
    pub const fn brk_random_range(self) -> u64 {
        match self {
            Self::X86_64 | Self::Aarch64 => 1 << 30,
        }
    }

    /// The default of `vm.mmap_rnd_bits`, for when it cannot be read.
    pub const fn mmap_rnd_bits(self) -> u32 {
        match self {
            Self::X86_64 => 28,
            Self::Aarch64 => 18,
        }
    }
}
