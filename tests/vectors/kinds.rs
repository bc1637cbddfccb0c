//! Program headers other than `PT_LOAD`.

use super::{Base, Fault, Vector, across, each, fault};
use support::elf::{
    Elf, PAGE, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_EH_FRAME, PT_GNU_PROPERTY, PT_GNU_RELRO,
    PT_GNU_STACK, PT_INTERP, PT_NOTE, PT_PHDR, PT_TLS, ProgramHeader,
};

const GROUP: &str = "kinds";

pub(super) fn vectors() -> Vec<Vector> {
    let interpreted = [Base::Interpreted, Base::Pie];
    let mut vectors = across(GROUP, &interpreted, &interpreter_path());
    vectors.extend(across(GROUP, &interpreted, &two_interpreters()));
    let bases = [Base::Exec, Base::StaticPie, Base::Pie, Base::Interpreter];
    vectors.extend(across(GROUP, &bases, &stacks()));
    vectors.extend(across(GROUP, &bases, &ignored()));
    vectors.extend(across(GROUP, &bases, &where_headers_are()));
    vectors.extend(across(GROUP, &[Base::Interpreter], &[own_interpreter()]));
    vectors
}

/// Puts another spelling of the standard path at another offset.
fn path(elf: &mut Elf, bytes: &[u8]) {
    elf.contents.push((0x3000, bytes.to_vec()));
    let header = elf.interpreter();
    header.offset = 0x3000;
    header.file_size = bytes.len() as u64;
}

fn interpreter_path() -> Vec<Fault> {
    let paths: [(&str, &[u8]); 14] = [
        ("empty", b"\0\0"),
        ("only_nul", b"\0"),
        ("no_nul", b"i"),
        ("unterminated", b"i\0x"),
        ("embedded_nul", b"i\0trailing\0"),
        ("relative", b"./i\0"),
        ("dot", b".\0"),
        ("missing", b"missing\0"),
        ("under_a_file", b"i/i\0"),
        ("trailing_slash", b"i/\0"),
        ("itself", b"program\0"),
        ("device", b"/dev/null\0"),
        ("not_executable", b"/proc/self/maps\0"),
        ("not_utf8", b"\xff\xfe\0"),
    ];
    let mut faults: Vec<_> = paths
        .map(|(name, bytes)| {
            let about = format!("PT_INTERP holds {:?}", String::from_utf8_lossy(bytes));
            fault(format!("path_{name}"), "H-12, H-13", about, move |elf| {
                path(elf, bytes);
            })
        })
        .into();
    faults.extend(each(
        "path_size",
        "H-12, E-4",
        &[3, 255, 256, 257, 258, 259, 4095, 4096, 4097],
        |elf, v| {
            // Extra slashes change nothing, so only the size matters.
            let mut bytes = vec![b'/'; v as usize];
            bytes[0] = b'.';
            bytes[v as usize - 2..].copy_from_slice(b"i\0");
            path(elf, &bytes);
        },
    ));
    faults.extend(each(
        "name_size",
        "H-13, E-4",
        &[255, 256, 4095, 4096],
        |elf, v| {
            let mut bytes = vec![b'n'; v as usize];
            bytes[v as usize - 1] = 0;
            path(elf, &bytes);
        },
    ));
    faults.extend(interpreter_fields());
    faults
}

fn interpreter_fields() -> Vec<Fault> {
    [
        each(
            "interp_filesz",
            "H-12",
            &[0, 1, 2, 3, 4095, 4096, 4097, 1 << 32, 1 << 63, u64::MAX],
            |elf, v| elf.interpreter().file_size = v,
        ),
        each(
            "interp_offset",
            "H-12",
            &[
                0,
                0xe01,
                0x4fff,
                0x5000,
                1 << 40,
                (1 << 63) - 2,
                (1 << 63) - 1,
                1 << 63,
                u64::MAX - 1,
                u64::MAX,
            ],
            |elf, v| elf.interpreter().offset = v,
        ),
        each("interp_memsz", "H-12", &[0, 1, u64::MAX], |elf, v| {
            elf.interpreter().memory_size = v;
        }),
        each("interp_vaddr", "H-12", &[0, 1 << 63, u64::MAX], |elf, v| {
            elf.interpreter().vaddr = v;
        }),
        each(
            "interp_flags",
            "H-12",
            &[0, 7, u64::from(u32::MAX)],
            |elf, v| {
                elf.interpreter().flags = v as u32;
            },
        ),
        each("interp_align", "H-12", &[0, 3, 1 << 63], |elf, v| {
            elf.interpreter().align = v;
        }),
    ]
    .concat()
}

fn two_interpreters() -> Vec<Fault> {
    let malformed = |header: ProgramHeader| ProgramHeader {
        file_size: 1,
        ..header
    };
    vec![
        fault(
            "interp_last",
            "H-11",
            "PT_INTERP comes after the loads",
            |elf| elf.program_headers.rotate_left(1),
        ),
        fault("interp_twice", "H-15", "two equal PT_INTERP", |elf| {
            elf.program_headers.push(elf.program_headers[0]);
        }),
        fault(
            "interp_second_malformed",
            "H-11",
            "the second PT_INTERP is too small",
            move |elf| {
                let second = malformed(elf.program_headers[0]);
                elf.program_headers.push(second);
            },
        ),
        fault(
            "interp_first_malformed",
            "H-11",
            "the first PT_INTERP is too small",
            move |elf| {
                let first = malformed(elf.program_headers[0]);
                elf.program_headers.insert(0, first);
            },
        ),
        fault(
            "interp_second_missing",
            "H-11",
            "the second PT_INTERP names no file",
            |elf| {
                elf.contents.push((0x3000, b"missing\0".to_vec()));
                let first = elf.program_headers[0];
                let (offset, file_size) = (0x3000, 8);
                elf.program_headers.push(ProgramHeader {
                    offset,
                    file_size,
                    ..first
                });
            },
        ),
    ]
}

fn own_interpreter() -> Fault {
    fault(
        "interp_of_interp",
        "H-50",
        "the interpreter has a malformed PT_INTERP of its own",
        |elf| {
            elf.program_headers.push(ProgramHeader {
                kind: PT_INTERP,
                offset: 1 << 63,
                ..ProgramHeader::default()
            });
        },
    )
}

fn stacks() -> Vec<Fault> {
    let sets: [(&str, &[u32]); 9] = [
        ("none", &[]),
        ("r", &[PF_R]),
        ("x", &[PF_X]),
        ("rw", &[PF_R | PF_W]),
        ("rwx", &[PF_R | PF_W | PF_X]),
        ("flags_0", &[0]),
        ("all_flags", &[u32::MAX]),
        ("rwx_then_rw", &[7, 6]),
        ("rw_then_rwx", &[6, 7]),
    ];
    let with = |name: String, flags: &'static [u32], garbage: u64| {
        let about = format!("PT_GNU_STACK {flags:?}, its other fields {garbage:#x}");
        fault(name, "H-16, M-26", about, move |elf| {
            elf.program_headers
                .extend(flags.iter().map(|&flags| ProgramHeader {
                    flags,
                    ..garbled(PT_GNU_STACK, garbage)
                }));
        })
    };
    let mut faults: Vec<_> = sets
        .iter()
        .map(|&(name, flags)| with(format!("stack_{name}"), flags, 0))
        .collect();
    faults.push(with("stack_garbage".into(), &[7], u64::MAX));
    faults.push(with("stack_size".into(), &[6], 0x10_0000));
    faults
}

fn garbled(kind: u32, garbage: u64) -> ProgramHeader {
    ProgramHeader {
        kind,
        flags: garbage as u32,
        offset: garbage,
        vaddr: garbage,
        paddr: garbage,
        file_size: garbage,
        memory_size: garbage,
        align: garbage,
    }
}

/// Types that execve ignores, with garbage in all their fields.
fn ignored() -> Vec<Fault> {
    let mut faults = Vec::new();
    for kind in [
        PT_DYNAMIC,
        PT_NOTE,
        5,
        PT_PHDR,
        PT_TLS,
        PT_GNU_EH_FRAME,
        PT_GNU_RELRO,
        PT_GNU_PROPERTY,
        0x6000_0000,
        0x6fff_ffff,
        0x7000_0000,
        0x7fff_ffff,
        0xffff_ffff,
    ] {
        for garbage in [u64::MAX, 0x2001] {
            let name = format!("type_{kind:#x}_of_{garbage:#x}");
            let about = format!("a header of type {kind:#x} with {garbage:#x} in every field");
            faults.push(fault(name, "H-17, H-18", about, move |elf| {
                elf.program_headers.insert(0, garbled(kind, garbage));
            }));
        }
    }
    faults
}

/// `AT_PHDR` depends on the segment that contains the headers, not on `PT_PHDR`.
fn where_headers_are() -> Vec<Fault> {
    vec![
        fault(
            "phdr_in_data",
            "M-52",
            "the headers are in the data",
            |elf| {
                elf.header.phoff = 0x2040;
            },
        ),
        fault(
            "phdr_in_no_segment",
            "M-52",
            "the headers are behind the last segment's bytes",
            |elf| elf.header.phoff = 0x4000,
        ),
        fault(
            "phdr_at_segment_end",
            "M-52",
            "the headers start where the data's bytes end",
            |elf| elf.header.phoff = 0x2800,
        ),
        fault(
            "phdr_in_two_segments",
            "M-52",
            "two segments hold the headers",
            |elf| {
                let data = elf.load(2);
                (data.offset, data.file_size) = (0, PAGE);
            },
        ),
        fault(
            "phdr_segment_wraps",
            "M-52, H-32",
            "the end of a segment's bytes wraps around 0",
            |elf| {
                let data = elf.load(2);
                (data.offset, data.file_size, data.memory_size) = (PAGE, u64::MAX, u64::MAX);
            },
        ),
    ]
}
