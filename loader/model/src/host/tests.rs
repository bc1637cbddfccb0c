//! Tests of host files: any numbers are refused, or a plan can be made with them.

use proptest::prelude::*;

use super::{Host, Randomness};
use crate::arguments::Arguments;
use crate::auxv::AT_SYSINFO_EHDR;
use crate::error::Subject;
use crate::image::{Image, Kind, Permissions, Segment, StackFlags};
use crate::machine::Machine;
use crate::page::PageSize;
use crate::plan::{Choices, Input, Loadable, Plan};

fn program(kind: Kind) -> Loadable {
    let segment = Segment {
        index: 0,
        header: 64,
        offset: 0,
        vaddr: 0x40_0000,
        file_size: 0x1234,
        memory_size: 0x9_8765,
        align: 0x1000,
        permissions: Permissions::READ_WRITE,
    };
    let image = Image {
        kind: Some(kind),
        entry: segment.vaddr,
        program_headers_offset: 64,
        program_headers_count: 1,
        segments: vec![segment],
        interpreter: None,
        stack_flags: StackFlags::Absent,
    };
    Loadable {
        image,
        subject: Subject::Program,
        file_size: 0x2000,
        aligned_for_huge_pages: false,
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..1 << 20,
        (0_u64..1 << 36).prop_map(|page| page << 12),
        Just(u64::MAX)
    ]
}

#[test]
fn what_is_written_is_read_again() {
    for machine in [Machine::X86_64, Machine::Aarch64] {
        for &size in machine.page_sizes() {
            let host = Host::typical(machine, PageSize::new(size).expect("a power of two"));
            let json = host.to_json();
            let again = Host::from_json(json.as_bytes(), Randomness::from_seed(1))
                .expect("it was just written");
            assert_eq!(again.to_json(), json);
        }
    }
}

#[test]
fn the_header_of_the_vdso_is_at_the_start_of_its_code() {
    let json = br#"{"schema": 1, "machine": "x86-64", "auxv": [["AT_SYSINFO_EHDR", 4711]]}"#;
    let host = Host::from_json(json, Randomness::from_seed(1)).expect("it is well formed");
    let mut mappings = host.mappings.iter();
    let code = mappings.find(|mapping| mapping.name == b"[vdso]");
    let start = code.map(|mapping| mapping.range.start);
    assert_eq!(host.auxv.get(AT_SYSINFO_EHDR), start);
}

proptest! {
    #[test]
    fn any_numbers_are_refused_or_can_be_planned_with(
        numbers in prop::array::uniform8(number()),
        bits in 0_u32..70,
        level in prop_oneof![Just("nothing"), Just("all-but-brk"), Just("all")],
        legacy in any::<bool>(),
        arm in any::<bool>(),
        shift in 11_u32..22,
    ) {
        let [task_size, mmap_base, minimum, hint, gap, stack, data, space] = numbers;
        let json = serde_json::json!({
            "schema": 1,
            "machine": if arm { "aarch64" } else { "x86-64" },
            "page_size": 1_u64 << shift,
            "task_size": (task_size % 2 == 0).then_some(task_size),
            "mmap_base": (mmap_base % 2 == 0).then_some(mmap_base),
            "mmap_min_addr": (minimum % 4 == 0).then_some(minimum),
            "lowest_hint": (hint % 4 == 0).then_some(hint),
            "stack_guard_gap": (gap % 4 == 0).then_some(gap),
            "mmap_rnd_bits": bits,
            "randomize": level,
            "legacy_layout": legacy,
            "stack_limit": [stack, null],
            "data_limit": [data, null],
            "address_space_limit": [space, null],
        });
        if let Ok(host) = Host::from_json(json.to_string().as_bytes(), Randomness::from_seed(1)) {
            let arguments = Arguments { execfn: c"/p".to_owned(), argv: vec![c"p".to_owned()], envp: vec![] };
            for kind in [Kind::Exec, Kind::Dyn] {
                for choices in [Choices::default(), Choices { no_randomize: true, ..Choices::default() }, Choices { seed: Some(1), ..Choices::default() }] {
                    // Refused or not: the call returns.
                    let input = Input {
                        program: &program(kind),
                        interpreter: None,
                        arguments: &arguments,
                        touched: 0x1000,
                        secure_by_file: false,
                    };
                    let _ = Plan::new(&host, input, &choices);
                }
            }
        }
    }

    #[test]
    fn any_text_is_refused(text in ".{0,80}") {
        prop_assert!(Host::from_json(text.as_bytes(), Randomness::from_seed(1)).is_err());
    }
}
