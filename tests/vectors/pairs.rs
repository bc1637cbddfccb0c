//! Every pair of the representative faults: the outcome shows which fault is found first.

use super::{Base, Fault, Vector, fault};
use support::elf::{
    ET_DYN, Elf, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_NULL, ProgramHeader, TASK_SIZE,
};

pub(super) fn vectors() -> Vec<Vector> {
    let faults = [headers(), interpreters(), segments()].concat();
    let mut vectors: Vec<_> = faults
        .iter()
        .map(|fault| Vector {
            representative: true,
            ..Vector::new("single", Base::Interpreted, vec![fault.clone()])
        })
        .collect();
    for (n, first) in faults.iter().enumerate() {
        for second in &faults[n + 1..] {
            let both = vec![first.clone(), second.clone()];
            vectors.push(Vector::new("pairs", Base::Interpreted, both));
        }
    }
    vectors
}

fn headers() -> Vec<Fault> {
    vec![
        fault("magic", "H-1", "no ELF magic", |elf| {
            elf.header.ident[0] = 0;
        }),
        fault("type", "H-2", "ET_REL", |elf| elf.header.kind = 1),
        fault("dyn", "M-3", "ET_DYN with a high address", |elf| {
            elf.header.kind = ET_DYN;
        }),
        fault("machine", "H-3", "another machine", |elf| {
            elf.header.machine = 183;
        }),
        fault("phentsize", "H-5", "e_phentsize is 55", |elf| {
            elf.header.phentsize = 55;
        }),
        fault("phnum_0", "H-6", "e_phnum is 0", |elf| {
            elf.header.phnum = Some(0);
        }),
        fault("phoff", "H-7", "e_phoff is beyond the file", |elf| {
            elf.header.phoff = 1 << 40;
        }),
        fault(
            "cut",
            "H-7, H-33",
            "the file ends after 0x2100 bytes",
            |elf| {
                elf.size = Some(0x2100);
            },
        ),
        fault("entry", "H-39", "e_entry is beyond user memory", |elf| {
            elf.header.entry = TASK_SIZE;
        }),
    ]
}

fn path(elf: &mut Elf, bytes: &[u8]) {
    elf.contents.push((0x2000, bytes.to_vec()));
    let header = elf.interpreter();
    header.offset = 0x2000;
    header.file_size = bytes.len() as u64;
}

fn interpreters() -> Vec<Fault> {
    vec![
        fault("interp_size", "H-12", "PT_INTERP of one byte", |elf| {
            elf.interpreter().file_size = 1;
        }),
        fault("interp_negative", "H-12", "PT_INTERP at 2^63", |elf| {
            elf.interpreter().offset = 1 << 63;
        }),
        fault(
            "interp_beyond",
            "H-12",
            "PT_INTERP beyond the file",
            |elf| {
                elf.interpreter().offset = 0x5000;
            },
        ),
        fault("interp_no_nul", "H-12", "PT_INTERP without NUL", |elf| {
            path(elf, b"ii");
        }),
        fault("interp_missing", "H-13", "no interpreter", |elf| {
            path(elf, b"missing\0");
        }),
        fault("interp_dot", "H-13", "a directory as interpreter", |elf| {
            path(elf, b".\0");
        }),
        fault("interp_itself", "M-8", "its own interpreter", |elf| {
            path(elf, b"program\0");
        }),
    ]
}

fn segments() -> Vec<Fault> {
    vec![
        fault("no_load", "H-9", "no PT_LOAD", |elf| {
            elf.loads().for_each(|load| load.kind = PT_NULL);
        }),
        fault("filesz", "H-31", "file size over memory size", |elf| {
            data(elf, |data| data.file_size = data.memory_size + 1);
        }),
        fault("vaddr", "H-31", "data beyond user memory", |elf| {
            data(elf, |data| data.vaddr = TASK_SIZE);
        }),
        fault("misaligned", "H-32", "offset not congruent", |elf| {
            data(elf, |data| data.offset += 8);
        }),
        fault("beyond", "H-33", "data beyond the file", |elf| {
            data(elf, |data| data.offset = 0x8000);
        }),
        fault("memsz", "H-38", "a terabyte of bss", |elf| {
            data(elf, |data| data.memory_size = 1 << 40);
        }),
        fault("read_only", "M-21", "read-only data with bss", |elf| {
            data(elf, |data| data.flags = PF_R);
        }),
        fault("wx", "M-23", "executable data with bss", |elf| {
            data(elf, |data| data.flags = PF_R | PF_W | PF_X);
        }),
        fault("align", "H-36", "2 MiB aligned", |elf| {
            data(elf, |data| data.align = 1 << 21);
        }),
        fault("reversed", "H-30", "program headers reversed", |elf| {
            elf.program_headers.reverse();
        }),
        fault("stack", "H-16", "executable stack", |elf| {
            elf.program_headers.push(ProgramHeader {
                kind: PT_GNU_STACK,
                flags: PF_R | PF_W | PF_X,
                ..ProgramHeader::default()
            });
        }),
    ]
}

/// Changes the data segment, if another fault has not removed it.
fn data(elf: &mut Elf, change: impl FnOnce(&mut ProgramHeader)) {
    if let Some(data) = elf.loads().last() {
        change(data);
    }
}
