//! Tests layouts of hand-made evidence: a static program, a position-independent program, and invalid data.

use crate::auxv::{AT_BASE, AT_ENTRY, AT_PHDR, Auxv};
use crate::host::Randomize;

use super::from_proc::of_maps;
use super::pair::pairs;
use super::*;

fn header(index: usize, mode: &str, offset: u64, vaddr: u64, sizes: [u64; 2]) -> Header {
    let has = |letter| mode.contains(letter);
    Header {
        index,
        kind: "PT_LOAD".to_owned(),
        permissions: Permissions {
            read: has('r'),
            write: has('w'),
            execute: has('x'),
        },
        offset,
        vaddr,
        file_size: sizes[0],
        memory_size: sizes[1],
        align: 0x1000,
    }
}

/// Code, and data that begins in the middle of a page and has a bss of two pages.
fn program(position_independent: bool) -> Binary {
    let base = if position_independent { 0 } else { 0x40_0000 };
    let mut relro = header(2, "r", 0x1e00, base + 0x2e00, [0x200, 0x200]);
    relro.kind = "PT_GNU_RELRO".to_owned();
    Binary {
        path: "/p".to_owned(),
        size: 0x3000,
        position_independent,
        entry: base + 0x100,
        interpreter: position_independent.then(|| "/lib/ld.so".to_owned()),
        headers: vec![
            header(0, "rx", 0, base, [0x800, 0x800]),
            header(1, "rw", 0x1e00, base + 0x2e00, [0x400, 0x2000]),
            relro,
        ],
        sections: Vec::new(),
    }
}

const STATIC: &str = "\
00400000-00401000 r-xp 00000000 00:01 7 /p
00402000-00404000 rw-p 00001000 00:01 7 /p
00404000-00405000 rw-p 00000000 00:00 0 
01000000-01021000 rw-p 00000000 00:00 0 [heap]
7ffff7ffd000-7ffff7fff000 r-xp 00000000 00:00 0 [vdso]
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
";

fn of_static() -> Evidence {
    let mut evidence = of_maps("maps:static", STATIC.as_bytes()).expect("it is well formed");
    evidence.know(b"/p", program(false));
    evidence
}

const DYNAMIC: &str = "\
555555554000-555555555000 r-xp 00000000 00:01 7 /p
555555556000-555555557000 r--p 00001000 00:01 7 /p
555555557000-555555558000 rw-p 00002000 00:01 7 /p
555555558000-555555559000 rw-p 00000000 00:00 0 
7ffff7fc0000-7ffff7fc1000 r-xp 00000000 00:01 8 /lib/ld.so
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]
";

fn of_dynamic() -> Evidence {
    let mut evidence = of_maps("maps:dynamic", DYNAMIC.as_bytes()).expect("it is well formed");
    evidence.know(b"/p", program(true));
    let mut linker = program(true);
    linker.path = "/lib/ld.so".to_owned();
    linker.interpreter = None;
    evidence.know(b"/lib/ld.so", linker);
    evidence.auxv = Auxv::from_pairs([
        (AT_PHDR, 0x5555_5555_4040),
        (AT_BASE, 0x7fff_f7fc_0000),
        (AT_ENTRY, 0x5555_5555_4100),
    ]);
    evidence.randomize = Some(Randomize::Nothing);
    evidence
}

fn contents(region: &Region) -> Vec<(u64, Content, bool)> {
    let piece = |piece: &Piece| (piece.range.start, piece.content, piece.relro);
    region.pieces.iter().map(piece).collect()
}

#[test]
fn every_mapping_has_its_role_and_its_program_header() {
    let layout = Layout::new(&of_static());
    let regions: Vec<_> = layout
        .regions
        .iter()
        .map(|region| (region.role, region.header, region.label.as_str()))
        .collect();
    let expected = [
        (Role::Segment, Some(0), "p"),
        (Role::Segment, Some(1), "p"),
        (Role::Bss, Some(1), "p bss"),
        (Role::Heap, None, "[heap]"),
        (Role::Vdso, None, "[vdso]"),
        (Role::Stack, None, "[stack]"),
        (Role::Vsyscall, None, "[vsyscall]"),
    ];
    assert_eq!(regions, expected);
    assert_eq!(layout.files[0].owner, Owner::Program);
}

#[test]
fn a_page_holds_what_is_beside_the_segment_its_bytes_and_the_zeroed_tail() {
    let layout = Layout::new(&of_static());
    let data = [
        (0x40_2000, Content::Beside, true),
        (0x40_2e00, Content::File, true),
        (0x40_3000, Content::File, false),
        (0x40_3200, Content::ZeroedTail, false),
    ];
    assert_eq!(contents(&layout.regions[1]), data);
    let bss = [
        (0x40_4000, Content::Bss, false),
        (0x40_4e00, Content::Rounding, false),
    ];
    assert_eq!(contents(&layout.regions[2]), bss);
}

#[test]
fn a_read_only_segment_keeps_the_files_bytes_behind_its_own() {
    let mut evidence = of_static();
    let mut binary = program(false);
    binary.headers[0].memory_size = 0x900;
    evidence.know(b"/p", binary);
    let layout = Layout::new(&evidence);
    let code = [
        (0x40_0000, Content::File, false),
        (0x40_0800, Content::Beside, false),
    ];
    assert_eq!(contents(&layout.regions[0]), code);
}

#[test]
fn what_relro_made_read_only_is_still_the_same_segment() {
    let layout = Layout::new(&of_dynamic());
    let headers: Vec<_> = layout.regions[..4]
        .iter()
        .map(|region| region.header)
        .collect();
    assert_eq!(headers, [Some(0), Some(1), Some(1), Some(1)]);
    let relro = &layout.regions[1];
    assert_eq!(
        contents(relro),
        [
            (0x5555_5555_6000, Content::Beside, true),
            (0x5555_5555_6e00, Content::File, true)
        ]
    );
    assert!(
        relro.why.contains("RELRO: was rw- until it was relocated"),
        "{}",
        relro.why
    );
    let owners: Vec<_> = layout
        .files
        .iter()
        .map(|file| (file.owner, file.bias))
        .collect();
    assert_eq!(
        owners,
        [
            (Owner::Program, 0x5555_5555_4000),
            (Owner::Interpreter, 0x7fff_f7fc_0000)
        ]
    );
}

#[test]
fn the_bands_are_three_and_hold_every_gap() {
    let layout = Layout::new(&of_static());
    let names: Vec<_> = layout.bands.iter().map(|band| band.name).collect();
    assert_eq!(names, ["low", "mmap area", "stack"]);
    let mut end = 0;
    for item in layout.bands.iter().flat_map(|band| &band.items) {
        let range = match item {
            Item::Region(index) => layout.regions[*index].range.clone(),
            Item::Gap { range, .. } => range.clone(),
        };
        assert_eq!(range.start, end);
        end = range.end;
    }
    assert_eq!(end, 0xffff_ffff_ff60_1000);
    let guard = Item::Gap {
        range: 0x7fff_ffed_e000..0x7fff_fffd_e000,
        kind: Gap::Guard,
    };
    assert_eq!(layout.bands[2].items[0], guard);
}

#[test]
fn a_32_bit_address_space_has_two_bands_and_no_numbers_of_another() {
    let text = "\
08048000-08049000 r-xp 00000000 08:01 131 /old
f7fd2000-f7fd4000 r-xp 00000000 00:00 0 [vdso]
fffdd000-ffffe000 rw-p 00000000 00:00 0 [stack]
";
    let layout = Layout::new(&of_maps("maps:old", text.as_bytes()).expect("it is well formed"));
    let bands: Vec<_> = layout
        .bands
        .iter()
        .map(|band| (band.name, band.items.len()))
        .collect();
    assert_eq!(bands, [("low", 5), ("stack", 2)]);
    assert_eq!(layout.anchors, []);
}

#[test]
fn a_file_that_does_not_fit_its_mappings_is_only_a_file() {
    let mut evidence = of_static();
    let mut other = program(false);
    other
        .headers
        .iter_mut()
        .for_each(|header| header.vaddr += 0x10_0000);
    evidence.know(b"/p", other);
    let layout = Layout::new(&evidence);
    assert_eq!(
        (layout.regions[0].role, layout.files.len()),
        (Role::File, 0)
    );
}

#[test]
fn an_address_is_told_down_to_the_offset_in_the_file() {
    let layout = Layout::new(&of_static());
    let code = layout.locate(0x40_0123);
    assert_eq!(
        (code.header, code.offset, code.vaddr),
        (Some((0, 0x123)), Some(0x123), Some(0x40_0123))
    );
    let tail = layout.locate(0x40_3300);
    assert_eq!((tail.header, tail.offset), (Some((1, 0x500)), None));
    let nothing = layout.locate(0x50_0000);
    assert_eq!(
        (nothing.region, nothing.gap),
        (None, Some(0x40_5000..0x100_0000))
    );
}

#[test]
fn two_layouts_are_paired_by_what_the_regions_are() {
    let (left, right) = (Layout::new(&of_static()), Layout::new(&of_dynamic()));
    let marks: Vec<_> = pairs(&left, &right)
        .iter()
        .map(|pair| (pair.mark(), pair.key.clone()))
        .collect();
    let expected = [
        ('~', "program r-x"),
        ('!', "program rw-"),
        ('+', "program rw- 2"),
        ('~', "program bss rw-"),
        ('-', "[heap]"),
        ('-', "[vdso]"),
        ('+', "interpreter r-x"),
        ('=', "[stack]"),
        ('-', "[vsyscall]"),
    ];
    assert_eq!(marks, expected.map(|(mark, key)| (mark, key.to_owned())));
}

#[test]
fn sizes_that_lie_are_drawn_without_a_panic() {
    for value in [0, 1, 0xfff, 1 << 47, u64::MAX - 0x1000, u64::MAX] {
        for field in 0..5 {
            let mut evidence = of_dynamic();
            let mut binary = program(true);
            for header in &mut binary.headers {
                match field {
                    0 => header.offset = value,
                    1 => header.vaddr = value,
                    2 => header.file_size = value,
                    3 => header.memory_size = value,
                    _ => header.align = value,
                }
            }
            evidence.know(b"/p", binary);
            evidence.notes = Notes {
                start_brk: Some(value),
                start_stack: Some(value),
                arg_start: Some(value),
                ..Notes::default()
            };
            evidence.stack_limit = Some(value);
            let layout = Layout::new(&evidence);
            assert_eq!(layout.regions.len(), 6);
            layout.locate(value);
        }
    }
}

#[test]
fn maps_that_are_none_are_refused_with_the_line() {
    let refusal = |text: &str| {
        of_maps("", text.as_bytes())
            .map(|_| ())
            .expect_err("it is refused")
            .to_string()
    };
    assert_eq!(refusal(""), "there are no mappings in it");
    assert_eq!(
        refusal("1000-2000 r--p 0 0:0 0\nzzz\n"),
        "line 2 is not a line of /proc/PID/maps: \"zzz\""
    );
    assert_eq!(
        refusal("2000-1000 r--p 0 0:0 0\n"),
        "mapping 1 (0x2000-0x1000) is empty or overlaps the previous one"
    );
    assert_eq!(
        refusal("1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n"),
        "mapping 2 (0x2000-0x4000) is empty or overlaps the previous one"
    );
}

#[test]
fn every_truncation_of_maps_is_read_or_refused() {
    for end in 0..STATIC.len() {
        if let Ok(evidence) = of_maps("", &STATIC.as_bytes()[..end]) {
            Layout::new(&evidence);
        }
    }
}
