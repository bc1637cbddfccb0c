//! Where the parts of the new program go: the choices of [`Command`] about the layout.
//!
//! What is not chosen goes where the kernel would put it. What cannot be had is refused by
//! [`prepare`](Command::prepare) and [`exec`](Command::exec): not a multiple
//! of the page size (`EINVAL`), outside of user memory (`ERANGE`), over something else of the new program (`EEXIST`).

#[cfg(feature = "internals")]
use crate::plan::Choices;

use super::Command;

impl Command {
    /// Where a position-independent program goes: its first page.
    ///
    /// For a program of fixed addresses only its own address is accepted (`EINVAL`).
    pub fn base(&mut self, address: u64) -> &mut Self {
        self.choices.base = Some(address);
        self
    }

    /// Where a position-independent interpreter goes: its first page. `EINVAL` for a program without one.
    pub fn interpreter_base(&mut self, address: u64) -> &mut Self {
        self.choices.interpreter_base = Some(address);
        self
    }

    /// Where the stack ends: the first byte behind it.
    pub fn stack_top(&mut self, address: u64) -> &mut Self {
        self.choices.stack_top = Some(address);
        self
    }

    /// The stack pointer at the first instruction, a multiple of 16. `E2BIG` where arguments, environment and the other
    /// things above it need more room than there is up to the stack's top.
    pub fn stack_pointer(&mut self, address: u64) -> &mut Self {
        self.choices.stack_pointer = Some(address);
        self
    }

    /// Where the heap starts, as brk(2) gives it.
    pub fn brk(&mut self, address: u64) -> &mut Self {
        self.choices.brk = Some(address);
        self
    }

    /// The 16 random bytes that `AT_RANDOM` points to.
    pub fn random(&mut self, bytes: [u8; 16]) -> &mut Self {
        self.choices.random = Some(bytes);
        self
    }

    /// Replaces the entry with this tag in the auxiliary vector, or adds it.
    ///
    /// `EINVAL` for entries that say where the program really is (`AT_PHDR`, `AT_PHENT`, `AT_PHNUM`, `AT_BASE`,
    /// `AT_ENTRY`: choose the place instead), that point into the new stack (`AT_RANDOM`, `AT_EXECFN`, `AT_PLATFORM`), and
    /// for `AT_NULL`; and for an `AT_SECURE` of 0 where real and effective ids differ. /proc/PID/auxv shows added entries as
    /// far as the kernel has room for them.
    pub fn auxv(&mut self, tag: u64, value: u64) -> &mut Self {
        self.choices.auxv.push((tag, value));
        self
    }

    /// The same layout every time for the same number: everything that is random is drawn from it, whatever is randomised
    /// on this machine and in this process, `AT_RANDOM` too.
    ///
    /// Interpreter, vDSO and later mappings go below a base that no exec gives, so that a process with any base can have
    /// it: what lies above is reserved by memory without access. Where a resource limit forbids that, or in the legacy
    /// layout, later mappings are not part of it ([`Difference::MmapBase`](crate::Difference::MmapBase)). The top of the
    /// stack's contents still depends on arguments and environment, and the base on `RLIMIT_STACK`.
    pub fn seed(&mut self, seed: u64) -> &mut Self {
        self.choices.seed = Some(seed);
        self
    }

    /// Takes over all of `choices`, such as those of another process (`Observed`), over what was
    /// chosen before.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn choose(&mut self, choices: &Choices) -> &mut Self {
        self.choices = self.choices.overridden_by(choices);
        self
    }

    /// No address randomisation: every address is the one execve gives under `ADDR_NO_RANDOMIZE`, which the new program
    /// gets too. A seed does not count then.
    ///
    /// The kernel goes on choosing addresses for later mappings where it did before: that cannot be changed.
    pub fn no_randomize(&mut self, yes: bool) -> &mut Self {
        self.choices.no_randomize = yes;
        self
    }
}
