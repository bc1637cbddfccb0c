//! Faults of the ELF header, and files that end too early.

use super::{Base, Fault, Vector, across, each, fault};
use support::elf::{BASE, Elf, PAGE, ProgramHeader, TASK_SIZE};

const GROUP: &str = "header";
/// Bases for checks of both a program and its interpreter.
const BOTH: [Base; 2] = [Base::Exec, Base::Interpreter];

pub(super) fn vectors() -> Vec<Vector> {
    let mut faults = ident();
    faults.extend(fields());
    faults.extend(program_headers());
    let mut vectors = across(GROUP, &BOTH, &faults);
    let everywhere = [
        Base::Exec,
        Base::StaticPie,
        Base::Pie,
        Base::Interpreter,
        Base::InterpreterOfPie,
    ];
    vectors.extend(across(GROUP, &everywhere, &entries()));
    vectors.extend(across(GROUP, &BOTH, &truncations(0..=64)));
    vectors.extend(across(GROUP, &everywhere, &truncations(INTERESTING)));
    vectors.push(Vector::new(GROUP, Base::Exec, vec![overlaid()]));
    vectors
}

fn ident() -> Vec<Fault> {
    let mut faults = Vec::new();
    for index in 0..16 {
        let (about, rules) = match index {
            0..4 => ("the magic is wrong", "H-1"),
            _ => ("a byte that Linux does not look at", "H-8"),
        };
        for value in [0, 1, 2, 0xff] {
            let name = format!("ident[{index}]={value:#x}");
            faults.push(fault(name, rules, about, move |elf| {
                elf.header.ident[index] = value;
            }));
        }
    }
    faults
}

fn fields() -> Vec<Fault> {
    [
        each(
            "e_type",
            "H-2",
            &[0, 1, 2, 3, 4, 5, 0xfe00, 0xffff],
            |elf, v| {
                elf.header.kind = v as u16;
            },
        ),
        each(
            "e_machine",
            "H-3",
            &[
                0, 1, 2, 3, 6, 7, 8, 20, 21, 22, 40, 50, 61, 63, 183, 243, 258, 0xffff,
            ],
            |elf, v| elf.header.machine = v as u16,
        ),
        each("e_version", "H-8", &[0, 2, 0xffff_ffff], |elf, v| {
            elf.header.version = v as u32;
        }),
        each("e_flags", "H-8", &[1, 0xffff_ffff], |elf, v| {
            elf.header.flags = v as u32;
        }),
        each("e_ehsize", "H-8", &[0, 63, 65, 0xffff], |elf, v| {
            elf.header.ehsize = v as u16;
        }),
        each(
            "e_shoff",
            "H-8",
            &[1, PAGE, 1 << 40, 1 << 63, u64::MAX],
            |elf, v| {
                elf.header.shoff = v;
            },
        ),
        each("e_shentsize", "H-8", &[1, 64, 0xffff], |elf, v| {
            elf.header.shentsize = v as u16;
        }),
        each("e_shnum", "H-8", &[1, 0xffff], |elf, v| {
            elf.header.shnum = v as u16;
        }),
        each("e_shstrndx", "H-8", &[1, 0xffff], |elf, v| {
            elf.header.shstrndx = v as u16;
        }),
        each(
            "e_phentsize",
            "H-5",
            &[0, 1, 32, 55, 57, 64, 112, 0xffff],
            |elf, v| {
                elf.header.phentsize = v as u16;
            },
        ),
    ]
    .concat()
}

fn program_headers() -> Vec<Fault> {
    let mut faults = each(
        "e_phoff",
        "H-7",
        &[
            0,
            1,
            8,
            63,
            65,
            66,
            120,
            121,
            0x200,
            0xe81,
            0x4000,
            0x4f57,
            0x4f58,
            0x4f59,
            0x5000,
            1 << 40,
            (1 << 63) - 168,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX - 63,
            u64::MAX,
        ],
        |elf, v| elf.header.phoff = v,
    );
    faults.extend(each(
        "e_phnum",
        "H-6, H-7",
        &[0, 1, 2, 4, 70, 73, 74, 300, 1170, 1171, 65535],
        |elf, v| elf.header.phnum = Some(v as u16),
    ));
    // As many headers as the count says, most of them PT_NULL.
    faults.extend(each(
        "headers",
        "H-6, M-52",
        &[4, 72, 73, 74, 300, 1169, 1170, 1171],
        |elf, v| {
            elf.header.phoff = 0x5000;
            elf.program_headers
                .resize(v as usize, ProgramHeader::default());
            elf.size = None;
        },
    ));
    faults
}

fn entries() -> Vec<Fault> {
    let mut faults = each(
        "e_entry",
        "H-39",
        &[
            0,
            8,
            BASE,
            1 << 40,
            TASK_SIZE - PAGE,
            TASK_SIZE - 1,
            TASK_SIZE,
            1 << 47,
            1 << 62,
            1 << 63,
            0xffff_ffff_ff60_0000,
            u64::MAX - PAGE,
            u64::MAX,
        ],
        |elf, v| elf.header.entry = v,
    );
    // Headers, code, hole, data, bss, and the pages after them.
    faults.extend(each(
        "entry_page",
        "H-39",
        &[0, 1, 2, 3, 4, 5, 6],
        |elf, v| {
            elf.header.entry = elf.load(0).vaddr + v * PAGE + 0x10 * u64::from(v != 1);
        },
    ));
    faults.push(fault(
        "entry_beyond_file",
        "H-33, H-39",
        "the first instruction is past the end of the file",
        |elf| {
            let code = elf.load(1);
            (code.offset, code.file_size, code.memory_size) = (0x8000, PAGE, PAGE);
        },
    ));
    faults
}

const INTERESTING: [u64; 23] = [
    65, 119, 120, 175, 176, 231, 232, 255, 256, 287, 288, 0xe01, 0xe02, 0xfff, 0x1000, 0x1001,
    0x1400, 0x1fff, 0x2000, 0x2001, 0x27ff, 0x2800, 0x3000,
];

fn truncations(sizes: impl IntoIterator<Item = u64>) -> Vec<Fault> {
    let sizes: Vec<_> = sizes.into_iter().collect();
    each("size", "H-7, H-10, H-33", &sizes, |elf, v| {
        elf.size = Some(v);
    })
}

/// The ELF header is also the first program headers: `e_phnum` 3 is also the type of the second one, `PT_INTERP`.
fn overlaid() -> Fault {
    fault(
        "headers_in_header",
        "H-7",
        "e_phoff is 0 and e_phnum reads as a PT_INTERP",
        |elf: &mut Elf| {
            elf.header.phoff = 0;
            elf.header.phnum = Some(3);
            let interp = [0xe00_u64, 0, 0, 2, 2, 1];
            elf.contents.push((64, words(&interp)));
            elf.contents.push((0xe00, b"i\0".to_vec()));
            let code = [0x5_0000_0001, 0, BASE, 0, 0x2000, 0x2000, PAGE];
            elf.contents.push((112, words(&code)));
        },
    )
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
