//! The addresses in the new program: the options of [`Command`] about the layout.
//!
//! Parts without a chosen address are placed where the kernel would place them. [`prepare`](Command::prepare) and
//! [`exec`](Command::exec) reject an impossible address: one that is not a multiple of the page size (`EINVAL`), is outside
//! of user memory (`ERANGE`), or overlaps another part of the new program (`EEXIST`).

#[cfg(feature = "internals")]
use crate::plan::Choices;

use super::Command;

impl Command {
    /// Sets the address of the first page of a position-independent program.
    ///
    /// For a program with fixed addresses, every address but its own is rejected (`EINVAL`).
    pub fn base(&mut self, address: u64) -> &mut Self {
        self.choices.base = Some(address);
        self
    }

    /// Sets the address of the first page of a position-independent interpreter. `EINVAL` if the program has no interpreter.
    pub fn interpreter_base(&mut self, address: u64) -> &mut Self {
        self.choices.interpreter_base = Some(address);
        self
    }

    /// Sets the end of the stack: the address of the first byte after it.
    pub fn stack_top(&mut self, address: u64) -> &mut Self {
        self.choices.stack_top = Some(address);
        self
    }

    /// Sets the stack pointer at the first instruction, a multiple of 16. `E2BIG` if the arguments, the environment and the
    /// other data above it need more room than there is below the stack's end.
    pub fn stack_pointer(&mut self, address: u64) -> &mut Self {
        self.choices.stack_pointer = Some(address);
        self
    }

    /// Sets the start of the heap, as brk(2) returns it.
    pub fn brk(&mut self, address: u64) -> &mut Self {
        self.choices.brk = Some(address);
        self
    }

    /// Sets the 16 random bytes that `AT_RANDOM` points to.
    pub fn random(&mut self, bytes: [u8; 16]) -> &mut Self {
        self.choices.random = Some(bytes);
        self
    }

    /// Replaces the entry with this tag in the auxiliary vector, or adds it.
    ///
    /// These are rejected (`EINVAL`):
    ///
    /// - entries that describe the program's real place: `AT_PHDR`, `AT_PHENT`, `AT_PHNUM`, `AT_BASE`, `AT_ENTRY` (choose
    ///   the place instead),
    /// - entries that point into the new stack: `AT_RANDOM`, `AT_EXECFN`, `AT_PLATFORM`,
    /// - `AT_NULL`,
    /// - an `AT_SECURE` of 0 if real and effective ids differ.
    ///
    /// /proc/PID/auxv shows added entries only as far as the kernel has room for them.
    pub fn auxv(&mut self, tag: u64, value: u64) -> &mut Self {
        self.choices.auxv.push((tag, value));
        self
    }

    /// Derives everything that is random from this number, including `AT_RANDOM`, so that the layout is the same every time.
    /// The randomisation settings of the machine and the process have no effect on it.
    ///
    /// The interpreter, the vDSO and later mappings are placed below an mmap base that no exec gives, so that every process
    /// can have it: the addresses above are reserved with inaccessible memory. If a resource limit forbids that, or in the
    /// legacy layout, the number does not determine the place of later mappings
    /// ([`Difference::MmapBase`](crate::Difference::MmapBase)). The start of the stack's content still depends on the
    /// arguments and the environment, and the mmap base on `RLIMIT_STACK`.
    pub fn seed(&mut self, seed: u64) -> &mut Self {
        self.choices.seed = Some(seed);
        self
    }

    /// Takes over all of `choices`, such as those of another process (`Observed`). They replace earlier choices.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn choose(&mut self, choices: &Choices) -> &mut Self {
        self.choices = self.choices.overridden_by(choices);
        self
    }

    /// Disables address randomisation: every address is the one that execve gives under `ADDR_NO_RANDOMIZE`, which is also
    /// set in the new program. A seed is then ignored.
    ///
    /// The kernel still places later mappings where it placed them before. This cannot be changed.
    pub fn no_randomize(&mut self, yes: bool) -> &mut Self {
        self.choices.no_randomize = yes;
        self
    }
}
