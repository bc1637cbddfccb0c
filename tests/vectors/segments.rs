//! Faults in the fields of one `PT_LOAD`.

use super::{Base, Fault, Vector, across, each, fault};
use support::elf::{PAGE, PF_R, PF_W, PF_X, ProgramHeader, TASK_SIZE};

const GROUP: &str = "segments";
pub(super) const BASES: [Base; 4] = [Base::Exec, Base::StaticPie, Base::Pie, Base::Interpreter];
const SEGMENTS: [&str; 3] = ["headers", "code", "data"];
const TIB: u64 = 1 << 40;

pub(super) fn vectors() -> Vec<Vector> {
    let faults = [
        addresses(),
        sizes(),
        offsets(),
        permissions(),
        tails(),
        combined(),
    ];
    let mut vectors = across(GROUP, &BASES, &faults.concat());
    let two = [Base::Exec, Base::Interpreter];
    vectors.extend(across(GROUP, &two, &beyond_file()));
    vectors
}

/// One fault for each of these values, in one field of each segment.
fn in_each(
    field: &str,
    rules: &'static str,
    values: &[u64],
    set: fn(&mut ProgramHeader, u64),
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (n, segment) in SEGMENTS.iter().enumerate() {
        for &value in values {
            let name = format!("{segment}.{field}={value:#x}");
            let about = format!("{field} of the {segment} is {value:#x}");
            faults.push(fault(name, rules, about, move |elf| {
                set(elf.load(n), value);
            }));
        }
    }
    faults
}

fn addresses() -> Vec<Fault> {
    let values = [
        0,
        PAGE,
        0x1_0000,
        0x1234_5000,
        TASK_SIZE - 0x3000,
        TASK_SIZE - 0x2000,
        TASK_SIZE - PAGE,
        TASK_SIZE,
        1 << 47,
        1 << 63,
        0u64.wrapping_sub(0x2000),
        0u64.wrapping_sub(PAGE),
    ];
    [
        in_each("vaddr", "H-31, M-1", &values, |load, v| load.vaddr = v),
        in_each("vaddr+", "H-32", &[1, 0x800, 0xfff], |load, v| {
            load.vaddr += v;
        }),
        in_each("paddr", "H-36", &[u64::MAX], |load, v| load.paddr = v),
    ]
    .concat()
}

fn sizes() -> Vec<Fault> {
    let huge = [
        TIB,
        TASK_SIZE - 0x80_0000,
        TASK_SIZE,
        TASK_SIZE + 1,
        1 << 63,
        0u64.wrapping_sub(0x40_3000),
        u64::MAX - 0xfff,
        u64::MAX,
    ];
    [
        in_each("memsz", "H-31, H-38, M-21", &huge, |load, v| {
            load.memory_size = v;
        }),
        in_each("filesz>memsz", "H-31", &[0, 1, 0x7ff, 0x1234], |load, v| {
            load.memory_size = v;
            load.file_size = v + 1;
        }),
        in_each("filesz=memsz", "H-33, H-34", &huge, |load, v| {
            (load.file_size, load.memory_size) = (v, v);
        }),
        in_each(
            "small filesz=memsz",
            "M-20, M-22",
            &[0, 1, 0x234, PAGE, PAGE + 1, 0x4000],
            |load, v| (load.file_size, load.memory_size) = (v, v),
        ),
        in_each("filesz", "H-31", &huge, |load, v| load.file_size = v),
        in_each(
            "no bytes, memsz",
            "H-34",
            &[1, 0xfff, PAGE, 0x1801],
            |load, v| {
                (load.offset, load.file_size, load.memory_size) = (0x123, 0, v);
            },
        ),
    ]
    .concat()
}

fn offsets() -> Vec<Fault> {
    let values = [
        1,
        0x800,
        0xfff,
        0x2010,
        0x2800,
        0x4000,
        0x5000,
        0x1_0000,
        TIB,
        (1 << 44) - 0x2000,
        (1 << 44) - PAGE,
        1 << 44,
        1 << 56,
        (1 << 63) - 0x2000,
        (1 << 63) - PAGE,
        1 << 63,
        (1 << 63) + PAGE,
        0u64.wrapping_sub(0x2000),
        0u64.wrapping_sub(PAGE),
        u64::MAX,
    ];
    let mut faults = in_each("offset", "H-32, H-33", &values, |load, v| load.offset = v);
    faults.extend(in_each(
        "congruent",
        "H-32, M-20",
        &[1, 0x10, 0x7ff, 0x800, 0xfff],
        |load, v| {
            load.offset += v;
            load.vaddr += v;
        },
    ));
    faults.extend(in_each(
        "page offset above offset",
        "H-32",
        &[0, 0x10, 0x7ff],
        |load, v| {
            load.offset = v;
            load.vaddr += 0x800;
        },
    ));
    faults
}

fn permissions() -> Vec<Fault> {
    let all = [0, 1, 2, 3, 4, 5, 6, 7, 0xffff_fff8, 0xffff_ffff];
    let mut faults = in_each("flags", "H-37, M-23", &all, |load, v| load.flags = v as u32);
    faults.extend(in_each(
        "with bss, flags",
        "H-37, M-21, M-23, M-24",
        &all,
        |load, v| {
            load.flags = v as u32;
            (load.file_size, load.memory_size) = (0xf80, 0x1f00);
        },
    ));
    faults.extend(in_each("only bss, flags", "H-34, M-23", &all, |load, v| {
        load.flags = v as u32;
        (load.file_size, load.memory_size) = (0, 0x1800);
    }));
    faults
}

/// Data past the end of the file: the outcome depends on whether zeros must be written there.
fn beyond_file() -> Vec<Fault> {
    let mut faults = Vec::new();
    for offset in [0x4000, 0x5000, 0x1_0000, TIB] {
        for flags in [PF_R, PF_R | PF_W, PF_R | PF_X] {
            for (file_size, memory_size) in [
                (0x800, 0x800),
                (0x800, 0x900),
                (0x800, 0x2800),
                (PAGE, PAGE),
                (PAGE, 0x2000),
                (0x1800, 0x1801),
                (0x2000, 0x2001),
            ] {
                let name = format!("data={offset:#x}:{file_size:#x}/{memory_size:#x}:{flags}");
                let about = format!(
                    "the data, flags {flags}, has {file_size:#x} of {memory_size:#x} bytes at {offset:#x}; the file 0x5000"
                );
                faults.push(fault(name, "H-33, M-21", about, move |elf| {
                    let data = elf.load(2);
                    (data.offset, data.flags) = (offset, flags);
                    (data.file_size, data.memory_size) = (file_size, memory_size);
                }));
            }
        }
    }
    faults
}

/// Different ends of the file's bytes and of the zeros.
fn tails() -> Vec<Fault> {
    let mut faults = Vec::new();
    for file_size in [1, 0x7ff, 0x800, 0xfff, 0x1000, 0x1001] {
        for more in [0, 1, 0x7ff, 0x800, 0x801, 0xfff, 0x1000, 0x1001] {
            let name = format!("tail={file_size:#x}+{more:#x}");
            let about = format!("{file_size:#x} bytes and {more:#x} of bss");
            faults.push(fault(name, "M-20, M-21, M-22", about, move |elf| {
                let data = elf.load(2);
                (data.file_size, data.memory_size) = (file_size, file_size + more);
            }));
        }
    }
    faults
}

/// Faults that need two fields, or also the end of the file.
fn combined() -> Vec<Fault> {
    let mut faults = each(
        "data_in_last_bytes",
        "H-33",
        &[0x4001, 0x4400, 0x4801, 0x4fff],
        |elf, v| {
            elf.size = Some(v);
            let data = elf.load(2);
            (data.offset, data.file_size) = (0x4000, 0x800);
        },
    );
    faults.extend(each(
        "last_user_page",
        "H-31",
        &[0, 1, 0x800, PAGE, PAGE + 1],
        |elf, v| {
            let data = elf.load(2);
            (data.vaddr, data.file_size, data.memory_size) = (TASK_SIZE - PAGE, v.min(1), v);
        },
    ));
    faults.extend(each(
        "empty_at",
        "H-31, H-34",
        &[0, 0x10_0000, TASK_SIZE - 1, TASK_SIZE, 1 << 63, u64::MAX],
        |elf, v| {
            let data = elf.load(2);
            (data.vaddr, data.file_size, data.memory_size) = (v, 0, 0);
        },
    ));
    faults.extend(each("sum_wraps", "H-31", &[0, 1, 0x40_0000], |elf, v| {
        let data = elf.load(2);
        data.memory_size = v.wrapping_sub(data.vaddr);
    }));
    faults
}
