//! `supplant layout` of damaged, missing, forbidden or very large input: an answer or one line, and never a panic.

use std::fs;
use std::process::Command;

use supplant_inspect::layout::from_plan::of_prepared;

use support::elf::Elf;
use support::layouts::{core_and_maps, json, layout};
use support::trials;
use support::trials::ignore;
use support::{builds, scratch};

trials![
    every_bad_input_is_one_line_and_status_2,
    options_behind_the_subject_are_the_programs_and_refused_where_there_is_none,
    commands_that_cannot_use_a_subject_say_so,
    a_process_that_has_ended_is_told,
    a_process_that_may_not_be_read_is_told_with_the_errno,
    a_core_file_cut_anywhere_is_read_or_refused,
    garbage_in_headers_and_tables_is_drawn,
    a_program_of_1170_segments_has_a_page_below_a_megabyte,
];

fn every_bad_input_is_one_line_and_status_2() {
    let directory = scratch();
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("it is ours");
        path.display().to_string()
    };
    let empty = write("empty", b"");
    let random: Vec<u8> = (0..10_000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let random = write("random", &random);
    let elf = write("elf", &Elf::standard().to_bytes());
    let folder = directory.path().display().to_string();
    let files = [
        empty.as_str(),
        &random,
        &elf,
        &folder,
        "/dev/null",
        "/dev/zero",
        "/nowhere",
    ];
    for kind in ["core", "maps", "capture", "plan"] {
        for file in files
            .iter()
            .filter(|file| !(kind == "plan" && **file == elf))
        {
            let subject = format!("{kind}:{file}");
            let output = layout(&[&subject]);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{subject}: {text}");
            assert!(
                text.starts_with("supplant: layout: ") && text.lines().count() == 1,
                "{subject}: {text}"
            );
            assert_eq!(output.stdout, b"", "{subject}");
        }
    }
    for subject in ["pid:x", "pid:2147483647", "pid:-1", "pid:0"] {
        let output = layout(&[subject]);
        assert_eq!(output.status.code(), Some(2), "{subject}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr).lines().count(),
            1,
            "{subject}"
        );
    }
}

fn options_behind_the_subject_are_the_programs_and_refused_where_there_is_none() {
    let output = layout(&["plan:/bin/true", "-l", "--html"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = layout(&[&format!("pid:{}", std::process::id()), "-l"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "supplant: layout: -l: an argument, and no program that would get it\n"
    );
}

fn commands_that_cannot_use_a_subject_say_so() {
    for subject in ["core:x", "maps:x", "plan:/bin/true"] {
        let output = Command::new(builds().remove(0))
            .args(["diff", subject, subject])
            .output()
            .expect("it was built");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{subject}");
        assert!(text.contains("layout can show it"), "{text}");
    }
}

fn a_process_that_has_ended_is_told() {
    let mut child = Command::new("/bin/true").spawn().expect("it is there");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let output = layout(&[&format!("pid:{}", child.id())]);
    child.wait().expect("it is ours");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), text.lines().count()),
        (Some(2), 1),
        "{text}"
    );
}

fn a_process_that_may_not_be_read_is_told_with_the_errno() {
    if support::is_root() {
        ignore("an ordinary user");
    }
    // In a PID namespace, the first process may belong to this user.
    if fs::read("/proc/1/auxv").is_ok() {
        ignore("a first process of another user");
    }
    let output = layout(&["pid:1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.ends_with("(EACCES)\n") || text.ends_with("(EPERM)\n"),
        "{text}"
    );
}

fn a_core_file_cut_anywhere_is_read_or_refused() {
    use supplant_inspect::layout::{Layout, from_core::of_core};
    use supplant_model::core_file::CoreFile;
    let directory = scratch();
    let core = core_and_maps(directory.path());
    let bytes = fs::read(core).expect("it was just written");
    let sizes = (0..bytes.len().min(12_000)).chain((12_000..bytes.len()).step_by(9_973));
    let mut drawn = 0;
    for size in sizes {
        let Ok(core) = CoreFile::parse(&bytes[..size]) else {
            continue;
        };
        if let Ok(evidence) = of_core("core", &core, &bytes[..size]) {
            drawn += Layout::new(&evidence).regions.len().min(1);
        }
    }
    assert!(drawn > 1000, "{drawn}");
}

/// A program with random bytes in its headers and tables, mapped as the undamaged program is.
fn garbage_in_headers_and_tables_is_drawn() {
    use supplant_inspect::layout::{Binary, Layout, symbols::nearest};
    let path = fs::canonicalize("/bin/true").expect("it is there");
    let name = path.to_str().expect("a plain path");
    let whole = fs::read(&path).expect("it may be read");
    let elf = goblin::elf::Elf::parse(&whole).expect("it runs");
    let tables = elf.header.e_shoff as usize;
    let prepared = supplant_loader::Command::new(&path)
        .prepare()
        .expect("it can be planned");
    let mut evidence = of_prepared(&prepared, "garbage").expect("it has mappings");
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below.max(1)
    };
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..12 {
            let at = match random(3) {
                0 => random(64),
                1 => 64 + random(56 * 14),
                _ => tables + random(whole.len() - tables),
            };
            bytes[at] = [0, 1, 0x7f, 0xff, random(256) as u8][random(5)];
        }
        let Some(binary) = Binary::read(&bytes[..], name, bytes.len() as u64) else {
            continue;
        };
        evidence.know(name.as_bytes(), binary.clone());
        let layout = Layout::new(&evidence);
        let addresses = layout.regions.iter().map(|region| region.range.start + 8);
        for address in addresses.chain([0, u64::MAX]) {
            layout.locate(address);
            nearest(&bytes[..], &binary, address);
        }
        assert!(layout.folded(3).regions.len() < layout.regions.len());
    }
}

fn a_program_of_1170_segments_has_a_page_below_a_megabyte() {
    let directory = scratch();
    let mut elf = Elf::standard();
    let code = elf.program_headers[1];
    elf.program_headers.clear();
    for index in 0..1170 {
        let mut header = code;
        header.vaddr = 0x40_0000 + index * 0x2000;
        header.offset = 0x1_1000;
        elf.program_headers.push(header);
    }
    elf.header.entry = 0x40_0000;
    elf.contents = vec![(0x1_1000, support::elf::EXIT_42.to_vec())];
    elf.size = Some(0x1_2000);
    let program = elf.write(directory.path().join("program"));
    let page = directory.path().join("page.html").display().to_string();
    let subject = format!("plan:{}", program.display());
    let layout = json(&["--html", &page, &subject]);
    let regions = layout["regions"].as_array().expect("there are regions");
    assert_eq!(
        regions
            .iter()
            .filter(|region| region["role"] == "segment")
            .count(),
        1170
    );
    let size = fs::metadata(&page).expect("it was written").len();
    assert!(size < 1 << 20, "{size}");
}
