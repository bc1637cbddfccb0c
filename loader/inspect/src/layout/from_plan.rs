//! The evidence of a plan: the mappings that it would make.

use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;

use crate::auxv::Auxv;
use crate::host::{Host, Randomize};
use crate::image::Permissions;
use crate::maps::Mapping;
use supplant_loader::internals::Parts;
use supplant_model::handover::Planned;

use crate::Prepared;
use crate::open::OpenFile;
use crate::plan::{File, Operation, Plan};
use crate::space::{AddressSpace, Content};
use crate::stack::InitialStack;

use super::binary::Binary;
use super::evidence::{Evidence, Notes, Origin, Snag, printable};

/// The evidence of this load. `subject` is its name.
///
/// # Errors
///
/// There is nothing to map, which cannot happen: a plan always has a stack.
pub fn of_prepared(prepared: &Prepared, subject: &str) -> Result<Evidence, Snag> {
    let Parts {
        opened, planned, ..
    } = prepared.parts();
    let Planned { host, plan, stack } = planned;
    let files = [Some(&*opened.program), opened.interpreter.as_deref()];
    let names = files.map(|file| file.map(name).unwrap_or_default());
    let mut evidence = of_plan(subject, plan, stack, host, &names)?;
    for (file, name) in files.iter().zip(&names) {
        let Some(OpenFile { file, loadable, .. }) = file else {
            continue;
        };
        if let Some(binary) = Binary::read(file, &printable(name), loadable.file_size) {
            evidence.know(name, binary);
        }
    }
    evidence.randomize = Some(match plan.personality & no_randomize() {
        0 => host.randomize,
        _ => Randomize::Nothing,
    });
    Ok(evidence)
}

const fn no_randomize() -> u32 {
    crate::host::personality::ADDR_NO_RANDOMIZE
}

/// The path by which the kernel knows the file.
fn name(file: &OpenFile) -> Vec<u8> {
    let link = format!("/proc/self/fd/{}", file.file.as_raw_fd());
    let path = std::fs::read_link(link).unwrap_or_default();
    path.into_os_string().into_vec()
}

/// The mappings that a plan makes, as /proc/PID/maps would list them before the first instruction. `names` are the paths
/// of program and interpreter.
///
/// # Errors
///
/// The errors of [`Evidence::new`].
pub fn of_plan(
    subject: &str,
    plan: &Plan,
    stack: &InitialStack,
    host: &Host,
    names: &[Vec<u8>; 2],
) -> Result<Evidence, Snag> {
    let mappings = mappings(plan, host, names);
    let mut evidence = Evidence::new(subject, Origin::Plan, mappings)?;
    let frame = &stack.frame;
    evidence.machine = host.machine;
    evidence.auxv = Auxv::from_bytes(stack.auxv_bytes());
    evidence.notes = Notes {
        start_brk: Some(plan.brk),
        start_stack: Some(frame.sp),
        arg_start: Some(frame.arg_start),
        arg_end: Some(frame.env_start),
        env_start: Some(frame.env_start),
        env_end: Some(frame.execfn),
        sp: Some(frame.sp),
        ip: Some(plan.entry()),
    };
    evidence.mmap_rnd_bits = Some(host.mmap_rnd_bits);
    evidence.stack_limit = Some(host.stack_limit.current);
    Ok(evidence)
}

/// The mappings after a plan is done, as /proc/PID/maps would list them.
pub(crate) fn mappings(plan: &Plan, host: &Host, names: &[Vec<u8>; 2]) -> Vec<Mapping> {
    let mut space = AddressSpace::default();
    space.place(
        plan.stack.range.clone(),
        Part::labelled(
            b"[stack]",
            Permissions {
                execute: plan.stack.executable,
                ..Permissions::READ_WRITE
            },
        ),
    );
    for operation in &plan.operations {
        place(&mut space, operation, names);
    }
    for (range, part) in kernel_parts(plan, host) {
        space.place(range, part);
    }
    for range in plan.later.reserved() {
        space.place(range.clone(), Part::labelled(b"", Permissions::default()));
    }
    joined(
        space
            .regions()
            .map(|(range, part)| (part.mapping(range), part.is_separate)),
    )
}

fn place(space: &mut AddressSpace<Part>, operation: &Operation, names: &[Vec<u8>; 2]) {
    match operation {
        Operation::MapFile {
            range,
            permissions,
            file,
            offset,
            ..
        } => {
            let name = match file {
                File::Program => &names[0],
                File::Interpreter => &names[1],
            };
            let part = Part {
                name: name.clone(),
                permissions: *permissions,
                offset: Some(*offset),
                is_separate: false,
            };
            space.place(range.clone(), part);
        }
        Operation::MapAnonymous { range, permissions } => {
            space.place(range.clone(), Part::labelled(b"", *permissions));
        }
        Operation::Separate { range, permissions } => {
            let part = Part {
                is_separate: true,
                ..Part::labelled(b"", *permissions)
            };
            space.place(range.clone(), part);
        }
        Operation::Unmap { range } => space.clear(range.clone()),
        Operation::Zero { .. } => {}
    }
}

/// The vDSO's mappings at their new addresses, and the page for legacy system calls.
fn kernel_parts(plan: &Plan, host: &Host) -> Vec<(Range<u64>, Part)> {
    let part = |mapping: &Mapping| Part::labelled(&mapping.name, mapping.permissions);
    let stays = host.mappings.iter().filter(|mapping| mapping.is_vsyscall());
    let mut parts: Vec<_> = stays
        .map(|mapping| (mapping.range.clone(), part(mapping)))
        .collect();
    let Some(vdso) = &plan.vdso else { return parts };
    let from = vdso.from().start;
    for mapping in host.mappings.iter().filter(|mapping| mapping.is_vdso()) {
        let shift = |address: u64| address.wrapping_sub(from).wrapping_add(vdso.to);
        parts.push((
            shift(mapping.range.start)..shift(mapping.range.end),
            part(mapping),
        ));
    }
    parts
}

#[derive(Clone)]
struct Part {
    name: Vec<u8>,
    permissions: Permissions,
    offset: Option<u64>,
    /// Whether it does not merge with the mapping above it.
    is_separate: bool,
}

impl Content for Part {
    fn skip(&self, distance: u64) -> Self {
        Self {
            offset: self.offset.map(|offset| offset.wrapping_add(distance)),
            ..self.clone()
        }
    }
}

impl Part {
    fn labelled(name: &[u8], permissions: Permissions) -> Self {
        Self {
            name: name.to_vec(),
            permissions,
            offset: None,
            is_separate: false,
        }
    }

    fn mapping(&self, range: Range<u64>) -> Mapping {
        Mapping {
            range,
            permissions: self.permissions,
            shared: false,
            offset: self.offset.unwrap_or(0),
            device: (0, 0),
            inode: 0,
            name: self.name.clone(),
        }
    }
}

/// The kernel joins neighbours without a difference, except with one that is separate from what is above it.
fn joined(mappings: impl Iterator<Item = (Mapping, bool)>) -> Vec<Mapping> {
    let mut joined: Vec<Mapping> = Vec::new();
    let mut below_is_separate = false;
    for (mapping, is_separate) in mappings {
        match joined.last_mut() {
            Some(last) if !below_is_separate && continues(last, &mapping) => {
                last.range.end = mapping.range.end;
            }
            _ => joined.push(mapping),
        }
        below_is_separate = is_separate;
    }
    joined
}

fn continues(last: &Mapping, next: &Mapping) -> bool {
    let distance = next.range.start - last.range.start;
    let offset = if next.name.starts_with(b"/") {
        last.offset.wrapping_add(distance)
    } else {
        next.offset
    };
    last.range.end == next.range.start
        && last.name == next.name
        && last.permissions == next.permissions
        && next.offset == offset
        && !last.name.starts_with(b"[")
}
