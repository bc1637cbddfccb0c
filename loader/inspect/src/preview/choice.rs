//! Explains in a sentence why each address was chosen.

use crate::host::{Host, Randomize};
use crate::image::Kind;
use crate::layout::amounts::size;
use crate::plan::{self, Anchor, Choices, Loadable, Placement, Plan};
use crate::space::MmapArea;

use super::Preview;

/// An address, with the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The name of the address: `stack top`, `program bias`, `brk`.
    pub name: &'static str,
    /// The address, or the bias.
    pub address: u64,
    /// The reason.
    pub why: String,
    /// The rule of PARITY.md.
    pub rule: &'static str,
}

/// The facts for the sentences.
struct Reasons<'a> {
    host: &'a Host,
    choices: &'a Choices,
    placement: &'a Placement<'a>,
    plan: &'a Plan,
    program: &'a Loadable,
    interpreter: Option<&'a Loadable>,
}

/// The choices, in the kernel's order.
pub(super) fn chosen(preview: &Preview) -> Vec<Choice> {
    let choices = &preview.choices;
    let placement = &Placement::new(&preview.host, choices);
    let reasons = Reasons {
        host: placement.host(),
        placement,
        choices,
        plan: &preview.plan,
        program: &preview.program.loadable,
        interpreter: preview.interpreter.as_ref().map(|file| &file.loadable),
    };
    let all = [
        Some(reasons.stack_top()),
        Some(reasons.stack_start()),
        Some(reasons.stack_pointer()),
        Some(reasons.mmap_base()),
        Some(reasons.program()),
        reasons.interpreter(),
        reasons.vdso(),
        Some(reasons.brk()),
        Some(reasons.entry()),
        Some(reasons.program_headers()),
    ];
    all.into_iter().flatten().collect()
}

impl Reasons<'_> {
    fn is_fixed(&self) -> bool {
        self.placement.randomize() == Randomize::Nothing
    }

    fn stack_top(&self) -> Choice {
        let (highest, top) = (self.host.machine.stack_top(), self.plan.stack.range.end);
        let most = self.host.machine.stack_random_pages();
        let why = if self.placement.is_chosen(Anchor::StackTop) {
            "as requested".to_owned()
        } else if self.is_fixed() {
            "the end of user memory: no randomisation".to_owned()
        } else {
            format!(
                "{:#x} random bytes below the end of user memory, {highest:#x}; at most {most:#x} pages of 4 KiB plus less than 8 KiB",
                highest.saturating_sub(top)
            )
        };
        Choice {
            name: "stack top",
            address: top,
            why,
            rule: "S-20",
        }
    }

    fn stack_start(&self) -> Choice {
        let range = &self.plan.stack.range;
        let limit = self.host.stack_limit.current;
        let limit = if limit == u64::MAX {
            "no limit".to_owned()
        } else {
            size(limit)
        };
        let why = format!(
            "{} at first: the size of the strings and 128 KiB more, if RLIMIT_STACK ({limit}) allows; it grows down on page faults",
            size(range.end - range.start)
        );
        Choice {
            name: "stack start",
            address: range.start,
            why,
            rule: "S-21",
        }
    }

    fn stack_pointer(&self) -> Choice {
        let frame = &self.plan.stack.frame;
        let gap = frame.arg_start - frame.tables_end;
        let chance = match (
            self.placement.is_chosen(Anchor::StackPointer),
            self.is_fixed(),
        ) {
            (true, _) => ", as requested",
            (false, true) => "",
            (false, false) => ", most of it random",
        };
        let why = format!(
            "below {} bytes of strings, a gap of {gap} bytes{chance}, and {} bytes of tables; a multiple of 16",
            frame.top - frame.arg_start,
            frame.tables_end - frame.sp
        );
        Choice {
            name: "stack pointer",
            address: frame.sp,
            why,
            rule: "S-5, S-8",
        }
    }

    fn mmap_base(&self) -> Choice {
        let area = self.placement.area();
        let (address, way) = match area {
            MmapArea::TopDown { base } => (base, "down"),
            MmapArea::BottomUp { base } => (base, "up"),
        };
        let from = if self.placement.is_chosen(Anchor::MmapBase) {
            "as requested"
        } else if self.choices.seed.is_some() {
            "drawn from the seed"
        } else if self.is_fixed() {
            "RLIMIT_STACK and the guard gap, at least 128 MiB, below the end of user memory"
        } else {
            "chosen by the exec that started this process; only an exec chooses a new one"
        };
        let why = format!("the kernel searches {way} from here for free addresses: {from}");
        Choice {
            name: "mmap base",
            address,
            why,
            rule: "M-11",
        }
    }

    fn program(&self) -> Choice {
        let image = &self.program.image;
        let page = self.host.page_size;
        let align = plan::alignment(image, page);
        let bias = self.plan.program.bias;
        let (why, rule) = match (image.kind, image.segments.first()) {
            (_, None) => ("no PT_LOAD: nothing is mapped".to_owned(), "H-9"),
            (Some(Kind::Exec), _) => (
                "ET_EXEC: the addresses in the file are used".to_owned(),
                "M-1",
            ),
            (_, Some(_)) if self.placement.is_chosen(Anchor::Base) => (
                "so that it starts at the requested address".to_owned(),
                "M-3",
            ),
            (_, Some(_)) if self.interpreter.is_some() => (self.pie(align), "M-3"),
            (_, Some(first)) if first.file_size == 0 => (
                "its first segment has no bytes: the addresses in the file are used".to_owned(),
                "M-5",
            ),
            _ => (self.hole(self.program, align), "M-4"),
        };
        Choice {
            name: "program bias",
            address: bias,
            why,
            rule,
        }
    }

    /// The reason for an ET_DYN program with an interpreter.
    fn pie(&self, align: u64) -> String {
        let base = self.host.machine.et_dyn_base();
        let down = format!("rounded down to a multiple of {align:#x}, the largest p_align");
        if self.is_fixed() {
            return format!("with an interpreter: two thirds of user memory, {base:#x}, {down}");
        }
        let pages = self.host.randomness.base & ((1 << self.host.mmap_rnd_bits) - 1);
        format!(
            "with an interpreter: two thirds of user memory, {base:#x}, plus {pages:#x} of 2^{} random pages, {down}",
            self.host.mmap_rnd_bits
        )
    }

    fn hole(&self, loadable: &Loadable, align: u64) -> String {
        let total = plan::total_size(&loadable.image, self.host.page_size);
        let aligned = if align > self.host.page_size.get() {
            format!(", then rounded down to a multiple of {align:#x}, the largest p_align")
        } else if loadable.aligned_for_huge_pages {
            ", aligned so that its file system can use huge pages".to_owned()
        } else {
            String::new()
        };
        format!(
            "the first hole from the mmap base that is large enough for all {total:#x} bytes{aligned}"
        )
    }

    fn interpreter(&self) -> Option<Choice> {
        let (loadable, load) = (self.interpreter?, self.plan.interpreter?);
        let (why, rule) = match loadable.image.kind {
            Some(Kind::Exec) => (
                "ET_EXEC: the addresses in the file are used; existing mappings there are replaced"
                    .to_owned(),
                "M-8",
            ),
            _ if self.placement.is_chosen(Anchor::InterpreterBase) => (
                "so that it starts at the requested address".to_owned(),
                "M-6",
            ),
            _ => (self.hole(loadable, 0), "M-6"),
        };
        Some(Choice {
            name: "interpreter bias",
            address: load.bias,
            why,
            rule,
        })
    }

    fn vdso(&self) -> Option<Choice> {
        let vdso = self.plan.vdso.as_ref()?;
        let taken = vdso.target();
        let why = if self.placement.is_chosen(Anchor::Vdso) {
            "as requested".to_owned()
        } else if vdso.from() == taken {
            "it stays at its address: the kernel would place it there too, or it cannot be moved"
                .to_owned()
        } else {
            format!(
                "the first hole from the mmap base that is free after the images are mapped and large enough for all {:#x} bytes",
                taken.end - taken.start
            )
        };
        Some(Choice {
            name: "vDSO",
            address: vdso.header,
            why,
            rule: "M-10",
        })
    }

    fn brk(&self) -> Choice {
        let image = &self.program.image;
        let moved = image.kind == Some(Kind::Dyn)
            && self.interpreter.is_none()
            && !image.segments.is_empty();
        let after = if moved {
            "the start address of programs with an interpreter, so that it has room to grow"
        } else {
            "after the highest segment, rounded up to a page"
        };
        let why = if self.placement.is_chosen(Anchor::Brk) {
            "as requested".to_owned()
        } else if self.placement.randomize() == Randomize::All {
            let pages = self.host.machine.brk_random_range() / self.host.page_size.get();
            let own = if moved { "" } else { "one page and " };
            format!(
                "{after}, plus {own}{:#x} of {pages:#x} random pages",
                self.host.randomness.brk % pages
            )
        } else {
            format!("{after}; not random")
        };
        Choice {
            name: "brk",
            address: self.plan.brk,
            why,
            rule: "M-40 to M-42",
        }
    }

    fn entry(&self) -> Choice {
        let (file, entry) = match self.interpreter {
            Some(loadable) => ("the interpreter", loadable.image.entry),
            None => ("the program", self.program.image.entry),
        };
        let why = format!("the first instruction: e_entry {entry:#x} of {file}, plus its bias");
        Choice {
            name: "entry",
            address: self.plan.entry(),
            why,
            rule: "R-1",
        }
    }

    fn program_headers(&self) -> Choice {
        let offset = self.program.image.program_headers_offset;
        let why = format!(
            "the address of file offset e_phoff {offset:#x} in the segment that contains it"
        );
        Choice {
            name: "AT_PHDR",
            address: self.plan.program_headers,
            why,
            rule: "M-52",
        }
    }
}
