//! Several `PT_LOAD` together: order, overlap, holes, alignment, and the address of the image.

use super::{Base, Fault, Vector, across, each, fault, segments::BASES};
use support::elf::{ET_EXEC, Elf, PAGE, PT_LOAD, PT_NULL, ProgramHeader};

const GROUP: &str = "layout";
const DYN: [Base; 4] = [
    Base::StaticPie,
    Base::Pie,
    Base::Interpreter,
    Base::InterpreterOfPie,
];

pub(super) fn vectors() -> Vec<Vector> {
    let faults = [
        orders(),
        overlaps(),
        neighbours(),
        holes(),
        data_first(),
        missing(),
        some_missing(),
    ]
    .concat();
    let mut vectors = across(GROUP, &BASES, &faults);
    vectors.extend(across(GROUP, &DYN, &moved()));
    vectors.extend(across(GROUP, &DYN, &alignments()));
    vectors.extend(across(GROUP, &[Base::Exec], &fixed()));
    vectors
}

/// Changes the order of the `PT_LOAD`, and nothing else.
fn reorder(elf: &mut Elf, order: [usize; 3]) {
    let loads = order.map(|n| *elf.load(n));
    elf.loads()
        .zip(loads)
        .for_each(|(load, other)| *load = other);
}

const ORDERS: [[usize; 3]; 5] = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn orders() -> Vec<Fault> {
    let mut faults = Vec::new();
    for order in ORDERS {
        let name = format!("order={order:?}");
        faults.push(fault(
            name,
            "H-30, M-1",
            "the loads are not sorted",
            move |elf| {
                reorder(elf, order);
            },
        ));
        let name = format!("order={order:?} with bss over others");
        let about = "unsorted loads, each with a bss that covers what follows";
        faults.push(fault(name, "H-30, H-35", about, move |elf| {
            elf.loads().for_each(|load| load.memory_size += 0x2800);
            reorder(elf, order);
        }));
    }
    faults
}

fn overlaps() -> Vec<Fault> {
    let mut faults = each("data_over_page", "H-35", &[0, 1, 2], |elf, v| {
        elf.load(2).vaddr = elf.load(0).vaddr + v * PAGE;
    });
    faults.extend(each(
        "headers_over_page",
        "H-35",
        &[1, 2, 3, 4],
        |elf, v| elf.load(0).vaddr += v * PAGE,
    ));
    faults.extend(each(
        "bss_of_headers",
        "H-35",
        &[0x1001, 0x2000, 0x3800, 0x5001, 0x10_0000],
        |elf, v| elf.load(0).memory_size = v,
    ));
    faults.extend(each("same_pages", "H-35", &[2, 5, 20], |elf, v| {
        let data = *elf.load(2);
        let copies = (0..v).map(|n| ProgramHeader {
            offset: 0x2000 + n % 3 * PAGE,
            ..data
        });
        elf.program_headers.extend(copies);
    }));
    faults.push(fault(
        "adjoining",
        "M-20",
        "data directly behind the code, continuing it in the file",
        |elf| {
            elf.load(2).vaddr = elf.load(1).vaddr + PAGE;
            elf.load(2).flags = elf.load(1).flags;
        },
    ));
    faults.push(fault(
        "shared_page",
        "H-32, H-35",
        "data in the middle of the code's last page",
        |elf| {
            let code = *elf.load(1);
            let data = elf.load(2);
            (data.vaddr, data.offset) = (code.vaddr + 0x800, code.offset + 0x800);
            data.flags |= code.flags;
        },
    ));
    faults
}

/// A bss that covers the segments after it: what a later bss replaces of it is anonymous on both sides.
fn neighbours() -> Vec<Fault> {
    let mut faults = Vec::new();
    for (size, how_much) in BSS_OF_HEADERS {
        for (n, more) in [(1, 0x800), (2, 0x800), (2, 0x1800), (2, 0x2800)] {
            let name = format!("bss_of_headers={size:#x} bss_of_{n}={more:#x}");
            let about = format!("the first bss covers {how_much}, and load {n} has a bss");
            faults.push(fault(name, "M-23, H-35", about, move |elf| {
                elf.load(0).memory_size = size;
                let later = elf.load(n);
                later.memory_size = later.file_size + more;
            }));
        }
        for flags in [[7, 4, 6], [7, 7, 7], [6, 7, 6], [4, 7, 5]] {
            let name = format!("bss_of_headers={size:#x} flags={flags:?}");
            let about = format!("the first bss covers {how_much}; all have a bss and these flags");
            faults.push(fault(name, "M-23, H-35", about, move |elf| {
                elf.loads().zip(flags).for_each(|(load, flags)| {
                    load.flags = flags;
                    load.memory_size = load.file_size + 0x2800;
                });
                elf.load(0).memory_size = size;
            }));
        }
    }
    for count in [3, 4] {
        let name = format!("bss_below_bss={count}");
        let about = "each later segment is only a bss, directly below the one before";
        faults.push(fault(name, "M-23, H-34", about, move |elf| {
            let data = *elf.load(2);
            let below = (0..count).map(|n| ProgramHeader {
                vaddr: (data.vaddr & !(PAGE - 1)) + 0x10_0000 - n * 0x3000,
                file_size: 0,
                memory_size: 0x3000,
                ..data
            });
            elf.program_headers.extend(below);
        }));
    }
    faults
}

const BSS_OF_HEADERS: [(u64, &str); 5] = [
    (0x1801, "a part of the second segment"),
    (0x4000, "the second segment"),
    (0x5801, "all segments and a part of the last bss"),
    (0x7000, "all segments"),
    (0x10_0000, "more than all segments"),
];

/// Linux first maps the first segment at the size of the whole image, which counts as memory if that segment is writable.
fn data_first() -> Vec<Fault> {
    each(
        "data_first_hole",
        "M-6, H-38",
        &[1 << 30, 1 << 40],
        |elf, v| {
            elf.load(2).vaddr += v;
            reorder(elf, [2, 0, 1]);
        },
    )
}

fn holes() -> Vec<Fault> {
    each(
        "hole",
        "M-1, M-2, M-6, M-10",
        &[
            0x6000,
            0x7000,
            0x8000,
            0x9000,
            0x4_0000,
            0x1f_a000,
            0x1f_b000,
            0x1f_c000,
            0x20_0000,
            0x40_0000,
            1 << 30,
            1 << 40,
            100 << 40,
            120 << 40,
            127 << 40,
        ],
        |elf, v| elf.load(2).vaddr += v,
    )
}

fn missing() -> Vec<Fault> {
    vec![
        fault(
            "no_load",
            "H-9, H-51",
            "no PT_LOAD, only a PT_NULL",
            |elf| {
                elf.program_headers.retain(|header| header.kind != PT_LOAD);
                elf.program_headers.push(ProgramHeader::default());
            },
        ),
        fault(
            "all_null",
            "H-9, H-51",
            "every PT_LOAD is a PT_NULL",
            |elf| {
                elf.loads().for_each(|load| load.kind = PT_NULL);
            },
        ),
        fault("all_empty", "H-34, H-51", "no PT_LOAD has a size", |elf| {
            elf.loads()
                .for_each(|load| (load.file_size, load.memory_size) = (0, 0));
        }),
        fault(
            "all_empty_at_one_address",
            "H-34, M-2",
            "no PT_LOAD has a size, all are at one address",
            |elf| {
                let vaddr = elf.load(0).vaddr;
                elf.loads().for_each(|load| {
                    (load.vaddr, load.file_size, load.memory_size) = (vaddr, 0, 0);
                });
            },
        ),
        fault("only_bss", "H-34, M-5", "no PT_LOAD has bytes", |elf| {
            elf.loads().for_each(|load| load.file_size = 0);
        }),
    ]
}

fn some_missing() -> Vec<Fault> {
    let mut faults = Vec::new();
    for n in 0..3 {
        let name = format!("without_{n}");
        faults.push(fault(
            name,
            "M-1, M-52",
            "one PT_LOAD is missing",
            move |elf| {
                elf.load(n).kind = PT_NULL;
            },
        ));
        let name = format!("only_{n}");
        faults.push(fault(
            name,
            "M-1, M-52",
            "one PT_LOAD is left",
            move |elf| {
                let kept = *elf.load(n);
                elf.loads().for_each(|load| load.kind = PT_NULL);
                elf.program_headers.push(kept);
            },
        ));
    }
    faults.push(fault(
        "one_for_all",
        "M-1",
        "one writable and executable PT_LOAD for the whole file",
        |elf| {
            let first = elf.load(0);
            (first.flags, first.file_size, first.memory_size) = (7, 0x5000, 0x7800);
            elf.loads().skip(1).for_each(|load| load.kind = PT_NULL);
        },
    ));
    faults
}

fn shift(elf: &mut Elf, distance: u64) {
    elf.loads()
        .for_each(|load| load.vaddr = load.vaddr.wrapping_add(distance));
    elf.header.entry = elf.header.entry.wrapping_add(distance);
}

/// Position-independent images that are linked at an address other than 0.
fn moved() -> Vec<Fault> {
    let mut faults = each(
        "linked_at",
        "M-3, M-4, M-8, M-9",
        &[
            PAGE,
            0x1_0000,
            0x40_0000,
            0x40_1000,
            0x1000_0000,
            0x5555_5555_4000,
            0x5555_5555_5000,
            0x6000_0000_0000,
            0x7fff_0000_0000,
            0x7fff_f7ff_8000,
            0x7fff_f7ff_a000,
            0x7fff_f7ff_f000,
            0x7fff_fff0_0000,
            0x7fff_ffec_d000,
            0x7fff_ffed_0000,
            0x7fff_fffd_c000,
            0x7fff_ffff_8000,
            0x7fff_ffff_a000,
            0x7fff_ffff_b000,
            0x8000_0000_0000,
            1 << 63,
            0u64.wrapping_sub(0x8000),
            0u64.wrapping_sub(PAGE),
        ],
        shift,
    );
    faults.push(fault(
        "linked_within_a_page",
        "M-6, M-8",
        "the first segment starts within a page, far behind the others",
        |elf| {
            let headers = elf.load(0);
            (headers.vaddr, headers.offset) = (0x1000_0800, 0x800);
        },
    ));
    faults
}

fn alignments() -> Vec<Fault> {
    let mut values = vec![0, 1, 2, 3, 0x800, 0x1001, 0x3000, 1 << 63, u64::MAX];
    values.extend((12..=48).map(|shift| 1 << shift));
    let mut faults = each("align", "H-36, M-3, M-4, M-8", &values, |elf, v| {
        elf.load(0).align = v;
    });
    faults.extend(each(
        "align_of_data",
        "H-36",
        &[0, 3, 1 << 21, 1 << 40],
        |elf, v| {
            elf.load(2).align = v;
        },
    ));
    for alignment in [1 << 13, 1 << 16, 1 << 21] {
        for distance in [PAGE, 0x3000, 0x40_0000, 0x6000_0000_0000] {
            let name = format!("align={alignment:#x} linked_at={distance:#x}");
            let about = "aligned, and linked at another address than 0";
            faults.push(fault(name, "M-3, M-4", about, move |elf| {
                shift(elf, distance);
                elf.load(0).align = alignment;
            }));
        }
    }
    faults.extend(each(
        "align_without_bytes",
        "M-4, M-5",
        &[PAGE, 1 << 21],
        |elf, v| {
            let first = elf.load(0);
            (first.align, first.file_size) = (v, 0);
        },
    ));
    faults
}

/// Fixed images at special addresses; the stack has its address without randomisation.
fn fixed() -> Vec<Fault> {
    let mut faults = each(
        "exec_at",
        "M-1, H-31",
        &[
            0,
            PAGE,
            0x1_0000,
            0x5555_5555_5000,
            0x7fff_f7ff_8000,
            0x7fff_f7ff_a000,
            0x7fff_f7ff_f000,
            0x7fff_ffec_a000,
            0x7fff_ffed_e000,
            0x7fff_fffd_9000,
            0x7fff_fffd_a000,
            0x7fff_fffd_d000,
            0x7fff_fffd_e000,
            0x7fff_fffe_0000,
            0x7fff_ffff_8000,
            0x7fff_ffff_a000,
        ],
        |elf, v| {
            let base = elf.load(0).vaddr;
            shift(elf, v.wrapping_sub(base));
        },
    );
    faults.extend(each(
        "data_over_stack",
        "M-1",
        &[
            0x7fff_ffec_c000,
            0x7fff_fffd_c000,
            0x7fff_fffd_d000,
            0x7fff_fffd_e000,
            0x7fff_fffe_0000,
            0x7fff_ffff_a000,
            0x7fff_ffff_c000,
            0x7fff_ffff_d000,
            0x7fff_ffff_e000,
        ],
        |elf, v| {
            let data = elf.load(2);
            (data.vaddr, data.file_size, data.memory_size) = (v, 0x1000, 0x1000);
        },
    ));
    faults.extend(each(
        "align",
        "H-36",
        &[0, 1, 3, 1 << 21, 1 << 63],
        |elf, v| {
            elf.header.kind = ET_EXEC;
            elf.loads().for_each(|load| load.align = v);
        },
    ));
    faults
}
