//! The caller's choices about the layout, and the checks that they are possible.
//!
//! execve chooses everything itself, so none of these refusals comes from execve: each is an errno, never a signal.

use std::ops::Range;

use crate::auxv::{self, AT_SECURE};
use crate::choice_fault::{AddressFault, ChoiceFault};
use crate::error::{Cause, Error};
use crate::host::Host;
use crate::image::{Image, Kind};

use super::{Anchor, Input, Plan, segments};

/// The caller's choices about the layout. A part without a choice is placed where the kernel would put it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Draw everything from this number, whatever this machine randomises: the same number gives the same layout.
    pub seed: Option<u64>,
    /// The first page of a position-independent program.
    pub base: Option<u64>,
    /// The first page of a position-independent interpreter.
    pub interpreter_base: Option<u64>,
    /// The vDSO's ELF header (`AT_SYSINFO_EHDR`).
    pub vdso: Option<u64>,
    /// The end of the stack.
    pub stack_top: Option<u64>,
    /// The stack pointer at the first instruction: the gap below the strings becomes as large as necessary.
    pub stack_pointer: Option<u64>,
    /// The start of the heap.
    pub brk: Option<u64>,
    /// The end of the mappings that the kernel places: interpreter, vDSO and the program's later mappings.
    pub mmap_base: Option<u64>,
    /// `AT_RANDOM`.
    pub random: Option<[u8; 16]>,
    /// Entries of the auxiliary vector, by tag, that are replaced or added.
    pub auxv: Vec<(u64, u64)>,
    /// No randomisation, and `ADDR_NO_RANDOMIZE` for the new program.
    pub no_randomize: bool,
}

impl Choices {
    /// These choices, replaced by the choices that `other` makes.
    #[must_use]
    pub fn overridden_by(&self, other: &Self) -> Self {
        let mut auxv = self.auxv.clone();
        auxv.extend_from_slice(&other.auxv);
        Self {
            seed: other.seed.or(self.seed),
            base: other.base.or(self.base),
            interpreter_base: other.interpreter_base.or(self.interpreter_base),
            vdso: other.vdso.or(self.vdso),
            stack_top: other.stack_top.or(self.stack_top),
            stack_pointer: other.stack_pointer.or(self.stack_pointer),
            brk: other.brk.or(self.brk),
            mmap_base: other.mmap_base.or(self.mmap_base),
            random: other.random.or(self.random),
            auxv,
            no_randomize: other.no_randomize || self.no_randomize,
        }
    }

    /// Whether any address is chosen.
    pub(super) fn choose_addresses(&self) -> bool {
        self.seed.is_some() || self.addresses().any(|(_, address)| address.is_some())
    }

    /// These choices without the addresses, to find out whether the addresses are the reason for a refusal.
    fn without_addresses(&self) -> Self {
        Self {
            random: self.random,
            auxv: self.auxv.clone(),
            no_randomize: self.no_randomize,
            ..Self::default()
        }
    }

    /// The address that the caller chose for `anchor`.
    pub(super) fn address(&self, anchor: Anchor) -> Option<u64> {
        let mut addresses = self.addresses();
        addresses.find_map(|(of, address)| address.filter(|_| of == anchor))
    }

    fn addresses(&self) -> impl Iterator<Item = (Anchor, Option<u64>)> {
        [
            (Anchor::Base, self.base),
            (Anchor::InterpreterBase, self.interpreter_base),
            (Anchor::Vdso, self.vdso),
            (Anchor::StackTop, self.stack_top),
            (Anchor::StackPointer, self.stack_pointer),
            (Anchor::Brk, self.brk),
            (Anchor::MmapBase, self.mmap_base),
        ]
        .into_iter()
    }

    /// The checks that are possible before anything is placed.
    pub(super) fn check(&self, host: &Host, input: Input<'_>) -> Result<(), Cause> {
        for (anchor, address) in self.addresses() {
            if let Some(address) = address {
                check_address(anchor, address, host)?;
            }
        }
        if let Some(base) = self.base {
            check_movable(Anchor::Base, base, &input.program.image, host)?;
        }
        if let Some(base) = self.interpreter_base {
            let nothing = fault(Anchor::InterpreterBase, base, AddressFault::NoInterpreter);
            let interpreter = input.interpreter.ok_or(nothing)?;
            check_movable(Anchor::InterpreterBase, base, &interpreter.image, host)?;
        }
        let entries = &mut self.auxv.iter();
        entries.try_for_each(|&(tag, value)| check_entry(tag, value, input.is_secure(host)))?;
        Ok(())
    }

    /// The checks that need the address of every part.
    pub(super) fn check_plan(&self, plan: &Plan) -> Result<(), ChoiceFault> {
        let overlap = |anchor, address, range: Range<u64>| {
            let Range { start, end } = range;
            Err(fault(anchor, address, AddressFault::Overlap { start, end }))
        };
        let stack = &plan.stack.range;
        for range in plan.image_ranges() {
            let meets = range.start < stack.end && stack.start < range.end;
            if let Some(top) = self.stack_top.filter(|_| meets) {
                return overlap(Anchor::StackTop, top, range);
            }
        }
        if let Some(brk) = self.brk
            && let Some(range) = plan.ranges().find(|range| range.contains(&brk))
        {
            return overlap(Anchor::Brk, brk, range);
        }
        Ok(())
    }

    /// Plans with these choices by `plan`. If the plan has a fault for which execve kills, and has none without the chosen
    /// addresses, the addresses are the reason, and the process is not killed.
    pub(super) fn blamed(
        &self,
        plan: impl Fn(&Self) -> Result<Plan, Error>,
    ) -> Result<Plan, Error> {
        let error = match plan(self) {
            Err(error) if self.choose_addresses() => error,
            result => return result,
        };
        let &Cause::Load(fault) = error.cause() else {
            return Err(error);
        };
        let subject = error.subject().clone();
        if plan(&self.without_addresses()).is_err() {
            return Err(error);
        }
        let fault = ChoiceFault::Placement { fault };
        Err(Error::new(subject, fault))
    }
}

pub(super) fn fault(anchor: Anchor, address: u64, fault: AddressFault) -> ChoiceFault {
    ChoiceFault::Address {
        anchor,
        address,
        fault,
    }
}

/// The stack pointer is aligned as for a call; everything else starts or ends at a page boundary.
fn check_address(anchor: Anchor, address: u64, host: &Host) -> Result<(), ChoiceFault> {
    let (lowest, highest) = match anchor {
        Anchor::StackTop | Anchor::MmapBase => (host.lowest_hint, host.machine.stack_top()),
        _ => (host.lowest_hint, host.task_size - host.page_size.get()),
    };
    let multiple = if anchor == Anchor::StackPointer {
        16
    } else {
        host.page_size.get()
    };
    if !address.is_multiple_of(multiple) {
        return Err(fault(anchor, address, AddressFault::Unaligned { multiple }));
    }
    if !(lowest..=highest).contains(&address) {
        return Err(fault(
            anchor,
            address,
            AddressFault::Outside { lowest, highest },
        ));
    }
    Ok(())
}

/// A file with fixed addresses cannot move; to choose exactly its own address is not a fault.
fn check_movable(anchor: Anchor, base: u64, image: &Image, host: &Host) -> Result<(), Cause> {
    let Some(first) = image
        .segments
        .first()
        .filter(|_| image.kind == Some(Kind::Exec))
    else {
        return Ok(());
    };
    let at = segments::file_range(first, 0, host.page_size)?.start;
    if at == base {
        Ok(())
    } else {
        Err(fault(anchor, base, AddressFault::Fixed { at }).into())
    }
}

fn check_entry(tag: u64, value: u64, secure: bool) -> Result<(), ChoiceFault> {
    let reason = match auxv::whose(tag) {
        auxv::Whose::End => "it ends the vector",
        auxv::Whose::Load => "it describes where the program really is",
        auxv::Whose::Stack => "it points into the new stack",
        auxv::Whose::Anybody if tag == AT_SECURE && value == 0 && secure => {
            "real and effective ids differ, or the file has capabilities"
        }
        auxv::Whose::Anybody => return Ok(()),
    };
    Err(ChoiceFault::AuxvEntry { tag, reason })
}
