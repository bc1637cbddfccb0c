//! `supplant layout`: what it draws, what it says of an address, and what it makes of bad input. What is right about a
//! process is asked of the kernel in the same run.

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::elf::Elf;
use support::{builds, scratch, test_binaries};

const PROGRAMS: [&str; 10] = [
    "glibc-pie/tell",
    "glibc-nopie/tell",
    "glibc-static/tell",
    "glibc-static-pie/tell",
    "musl-pie/tell",
    "musl-static/exec_stack",
    "bare/align_2m",
    "bare/two_segments_far",
    "bare/rwx_segment",
    "glibc-pie/huge_bss",
];

fn programs() -> impl Iterator<Item = PathBuf> {
    let paths = PROGRAMS.iter().map(|name| test_binaries().join(name));
    paths.filter(|path| path.exists())
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(builds().remove(0));
    command
        .arg("layout")
        .args(arguments)
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE");
    command.stdin(Stdio::null());
    command
}

fn layout(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it was built")
}

fn stdout(arguments: &[&str]) -> String {
    let output = layout(arguments);
    let text = String::from_utf8(output.stdout).expect("it writes UTF-8");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn json(arguments: &[&str]) -> Value {
    let text = stdout(&[&["--json", "-"], arguments].concat());
    serde_json::from_str(&text).expect("it is JSON")
}

/// Without randomisation, so that two runs can be compared; `None` where that cannot be switched off.
fn fixed(arguments: &[&str]) -> Option<Value> {
    let output = Command::new("setarch")
        .arg("-R")
        .arg(builds().remove(0))
        .args(["layout", "--json", "-"])
        .args(arguments)
        .output();
    serde_json::from_slice(&output.ok()?.stdout).ok()
}

/// A kernel may forbid tracing altogether.
fn tracing_is_refused() -> bool {
    let refused = layout(&["kernel:/bin/true"]).status.code() == Some(2);
    if refused {
        println!("ignored: tracing a child is not permitted here");
    }
    refused
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().expect("addresses are strings");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("of hexadecimal digits")
}

fn example(arguments: &[&str]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layout");
    let output = command(arguments)
        .current_dir(directory)
        .output()
        .expect("it was built");
    String::from_utf8(output.stdout).expect("it writes UTF-8")
}

#[test]
fn a_saved_maps_is_drawn_as_ever_in_three_widths() {
    let subject = "maps:example.maps";
    let drawn = |columns| example(&["--columns", columns, subject]);
    assert_eq!(drawn("60"), include_str!("layout/example-60.txt"));
    assert_eq!(drawn("80"), include_str!("layout/example-80.txt"));
    assert_eq!(drawn("200"), include_str!("layout/example-200.txt"));
    let ascending = example(&["--columns", "60", "--ascending", subject]);
    assert_eq!(ascending, include_str!("layout/example-ascending.txt"));
}

#[test]
fn a_pipe_is_eighty_columns_wide() {
    assert_eq!(
        example(&["maps:example.maps"]),
        include_str!("layout/example-80.txt")
    );
}

#[test]
fn no_line_is_wider_than_asked() {
    let own = format!("pid:{}", std::process::id());
    let mut subjects: Vec<String> = programs()
        .map(|path| format!("plan:{}", path.display()))
        .collect();
    subjects.push(own);
    for subject in &subjects {
        for columns in [60, 80, 100, 200] {
            for with in [&[][..], &["--with", "plan:/bin/true"]] {
                let width = columns.to_string();
                let arguments = [&["--columns", &width, subject], with].concat();
                let text = stdout(&[with, &["--columns", &width, subject]].concat());
                let wide = text.lines().find(|line| line.chars().count() > columns);
                assert_eq!(wide, None, "{arguments:?}");
            }
        }
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_force_them() {
    let with = |variables: &[(&str, &str)]| {
        let mut command = command(&["plan:/bin/true"]);
        let output = command
            .envs(variables.iter().copied())
            .output()
            .expect("it was built");
        output.stdout.contains(&0x1b)
    };
    assert!(!with(&[]));
    assert!(with(&[("CLICOLOR_FORCE", "1")]));
    assert!(!with(&[("NO_COLOR", "1")]));
}

/// What maps says too: range, mode, offset; and name and role.
fn mappings(layout: &Value) -> Vec<Value> {
    let regions = layout["regions"].as_array().expect("there are regions");
    let keys = [
        "range",
        "permissions",
        "offset",
        "name",
        "role",
        "header",
        "pieces",
        "why",
    ];
    let kept = regions
        .iter()
        .map(|region| keys.iter().map(|key| region[key].clone()).collect());
    kept.collect()
}

#[test]
fn the_plan_is_what_the_kernel_does() {
    if tracing_is_refused() {
        return;
    }
    for program in programs() {
        let program = fs::canonicalize(program).expect("it is there");
        let name = program.display();
        let subjects = [
            format!("plan:{name}"),
            format!("kernel:{name}"),
            name.to_string(),
        ];
        let [plan, kernel, ours] = subjects.map(|subject| fixed(&[&subject]));
        let Some(((plan, kernel), ours)) = plan.zip(kernel).zip(ours) else {
            return println!("ignored: randomisation cannot be switched off here");
        };
        assert_eq!(mappings(&plan), mappings(&kernel), "{name}");
        assert_eq!(mappings(&ours), mappings(&kernel), "{name}");
        assert_eq!(plan["anchors"], kernel["anchors"], "{name}");
    }
}

#[test]
fn chance_stays_in_its_window_in_the_kernels_hands() {
    if tracing_is_refused() {
        return;
    }
    for program in programs().take(4) {
        for _ in 0..12 {
            let layout = json(&[&format!("kernel:{}", program.display())]);
            for anchor in layout["anchors"].as_array().expect("there are anchors") {
                let Some(window) = anchor["window"].as_array() else {
                    continue;
                };
                let (from, to) = (number(&window[0]), number(&window[1]));
                let address = number(&anchor["address"]);
                // What is aligned to more than a page may lie a little lower.
                let slack = 0x20_0000;
                assert!(
                    (from.saturating_sub(slack)..=to).contains(&address),
                    "{}: {anchor}",
                    program.display()
                );
            }
        }
    }
}

/// Where a region shows a file, the byte that `--at` names in the file is the byte in memory.
#[test]
fn the_offset_that_is_told_holds_the_byte_that_is_in_memory() {
    let pid = std::process::id();
    let subject = format!("pid:{pid}");
    let layout = json(&[&subject]);
    let memory = fs::File::open("/proc/self/mem").expect("it is ours");
    let mut compared = 0;
    for region in layout["regions"].as_array().expect("there are regions") {
        let reads = region["permissions"]
            .as_str()
            .is_some_and(|mode| mode.starts_with("r-"));
        if region["role"] != "segment" || !reads {
            continue;
        }
        let start = number(&region["range"][0]);
        let found = json(&["--at", &format!("{:#x}", start + 0x120), &subject]);
        // RELRO was written to before it became read-only.
        if found["piece"]["relro"] == true {
            continue;
        }
        let file = fs::File::open(region["name"].as_str().expect("a path")).expect("it is mapped");
        let mut bytes = [[0; 16]; 2];
        let [in_file, in_memory] = &mut bytes;
        memory
            .read_exact_at(in_memory, start + 0x120)
            .expect("it is mapped");
        file.read_exact_at(in_file, number(&found["offset"]))
            .expect("it is in the file");
        assert_eq!(bytes[0], bytes[1], "{region}");
        compared += 1;
    }
    assert!(compared > 4, "{compared}");
}

#[test]
fn an_address_has_its_segment_section_symbol_and_offset() {
    let program = test_binaries().join("glibc-nopie/tell");
    if !program.exists() {
        return println!("ignored: the test programs are not built");
    }
    let subject = format!("plan:{}", program.display());
    let layout = json(&[&subject]);
    let entry = layout["files"][0]["entry"]
        .as_str()
        .expect("an address")
        .to_owned();
    let text = stdout(&["--at", &entry, &subject]);
    for expected in [
        "  segment  PT_LOAD",
        "  section  .text",
        "  symbol   _start\n",
        "  pointer  AT_ENTRY",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let nothing = layout_at("0x1000", &subject);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing is mapped here"));
}

fn layout_at(address: &str, subject: &str) -> Output {
    layout(&["--at", address, subject])
}

#[test]
fn a_line_of_the_source_is_told_where_there_is_debug_information() {
    let directory = scratch();
    let source = directory.path().join("program.c");
    let program = directory.path().join("program");
    fs::write(
        &source,
        "int counter = 3;\n\nint main(void)\n{\n    return counter;\n}\n",
    )
    .expect("it is ours");
    let built = Command::new("cc")
        .args(["-g", "-no-pie", "-o"])
        .args([&program, &source])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return println!("ignored: there is no C compiler");
    }
    let subject = format!("plan:{}", program.display());
    let symbol = |name: &str| {
        let bytes = fs::read(&program).expect("it was just made");
        let elf = goblin::elf::Elf::parse(&bytes).expect("the compiler made it");
        let symbols = elf.syms.iter();
        let found = symbols.filter(|symbol| elf.strtab.get_at(symbol.st_name) == Some(name));
        found
            .map(|symbol| symbol.st_value)
            .next()
            .expect("it has one")
    };
    let main = stdout(&["--at", &format!("{:#x}", symbol("main")), &subject]);
    assert!(
        main.contains("  symbol   main\n") && main.contains("program.c:4\n"),
        "{main}"
    );
    let counter = stdout(&["--at", &format!("{:x}", symbol("counter")), &subject]);
    assert!(
        counter.contains("  section  .data+") && counter.contains("  symbol   counter\n"),
        "{counter}"
    );
}

#[test]
fn what_is_writable_and_executable_is_told_first() {
    let program = test_binaries().join("bare/rwx_segment");
    if !program.exists() {
        return println!("ignored: the test programs are not built");
    }
    let text = stdout(&[&format!("plan:{}", program.display())]);
    assert!(
        text.contains("\nwritable and executable 400000-401000 "),
        "{text}"
    );
    assert!(text.contains("W+X!"), "{text}");
}

#[test]
fn two_subjects_are_set_side_by_side() {
    let (left, right) = ("plan:/bin/true", "maps:tests/layout/example.maps");
    let text = stdout(&["--with", right, left]);
    assert!(
        text.contains("- [vvar_vclock]: only on the left") || !text.contains("vvar_vclock"),
        "{text}"
    );
    assert!(text.contains("+ [heap]: only on the right"), "{text}");
    let both = json(&["--with", right, left]);
    assert_eq!(
        (&both["schema"], &both["subject"], &both["with"]["subject"]),
        (&1.into(), &left.into(), &right.into())
    );
    let heap = both["pairs"]
        .as_array()
        .expect("there are pairs")
        .iter()
        .find(|pair| pair["key"] == "[heap]");
    assert_eq!(heap.expect("it is one of them")["left"], Value::Null);
}

#[test]
fn several_forms_are_written_at_once() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (svg, html, text) = (path("a.svg"), path("a.html"), path("a.txt"));
    let output = layout(&[
        "--svg",
        &svg,
        "--html",
        &html,
        "--text",
        &text,
        "--json",
        "-",
        "plan:/bin/true",
    ]);
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice::<Value>(&output.stdout).expect("standard output has the JSON");
    let read = |path: &str| fs::read_to_string(path).expect("it was written");
    assert!(read(&svg).starts_with("<svg xmlns="));
    assert!(read(&html).starts_with("<!DOCTYPE html>"));
    assert!(read(&text).starts_with("plan:/bin/true: planned by us"));
}

#[test]
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

#[test]
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

#[test]
fn a_comparison_has_a_page_with_both_sides() {
    if tracing_is_refused() {
        return;
    }
    let directory = scratch();
    let page = directory.path().join("page.html");
    let made = |arguments: &[&str]| {
        let output = Command::new(builds().remove(0))
            .arg(arguments[0])
            .arg("--html")
            .arg(&page)
            .args(&arguments[1..])
            .output()
            .expect("it was built");
        let text = fs::read_to_string(&page).expect("it was written");
        assert!(text.len() < 1 << 20, "{}", text.len());
        let data = text
            .split("id=\"data\">")
            .nth(1)
            .and_then(|rest| rest.split("</script>").next());
        let data: Value =
            serde_json::from_str(data.expect("the data is there")).expect("it is JSON");
        (output.status.code(), text, data)
    };
    let (status, text, data) = made(&["compare", "/bin/true"]);
    assert_eq!(status, Some(0));
    assert_eq!(
        (&data["origin"], &data["with"]["origin"]),
        (&"kernel".into(), &"ours".into())
    );
    assert!(
        text.contains("known, R-2: "),
        "a known difference is in the table"
    );
    let (status, text, data) = made(&["diff", "kernel:/bin/true", "kernel:/bin/false"]);
    assert_eq!(
        (status, &data["subject"]),
        (Some(1), &"kernel:/bin/true".into())
    );
    assert!(
        text.contains("<td class=\"code\">comm</td>"),
        "what differs is in the table"
    );
}

#[test]
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

#[test]
fn a_process_that_may_not_be_read_is_told_with_the_errno() {
    if support::is_root() {
        return println!("ignored: root may read any process");
    }
    let output = layout(&["pid:1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.ends_with("(EACCES)\n") || text.ends_with("(EPERM)\n"),
        "{text}"
    );
}

/// A shell that writes its maps and dies; its core file, where this machine writes one into the directory.
fn core_and_maps(directory: &Path) -> Option<PathBuf> {
    let script = "ulimit -c unlimited; cat /proc/$$/maps >maps; kill -SEGV $$";
    let ended = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .output();
    ended.expect("there is a shell");
    let mut entries = fs::read_dir(directory).expect("it is ours").flatten();
    let core = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("core"))?;
    Some(core.path())
}

#[test]
fn a_core_file_tells_what_maps_told() {
    let directory = scratch();
    let Some(core) = core_and_maps(directory.path()) else {
        return println!("ignored: no core file is written here (kernel.core_pattern, or a limit)");
    };
    let maps = directory.path().join("maps");
    let subjects =
        [("core", &core), ("maps", &maps)].map(|(kind, path)| format!("{kind}:{}", path.display()));
    let both = json(&["--with", &subjects[1], &subjects[0]]);
    for pair in both["pairs"].as_array().expect("there are pairs") {
        // The second mapping of the vDSO's data has a name of its own, which is not in a core file.
        if !pair["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("[vvar"))
        {
            assert_eq!(
                (&pair["changes"], &pair["moved"]),
                (&Value::Array(Vec::new()), &Value::Null),
                "{pair}"
            );
        }
    }
}

#[test]
fn a_core_file_cut_anywhere_is_read_or_refused() {
    use supplant_loader::core_file::CoreFile;
    use supplant_loader::layout::{Layout, from_core::of_core};
    let directory = scratch();
    let Some(core) = core_and_maps(directory.path()) else {
        return println!("ignored: no core file is written here (kernel.core_pattern, or a limit)");
    };
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

/// A program with random bytes in its headers and tables, mapped where it is when it is whole.
#[test]
fn garbage_in_headers_and_tables_is_drawn() {
    use supplant_loader::layout::{Binary, Layout, symbols::nearest};
    let path = fs::canonicalize("/bin/true").expect("it is there");
    let name = path.to_str().expect("a plain path");
    let whole = fs::read(&path).expect("it may be read");
    let elf = goblin::elf::Elf::parse(&whole).expect("it runs");
    let tables = elf.header.e_shoff as usize;
    let prepared = supplant_loader::Command::new(&path)
        .prepare()
        .expect("it can be planned");
    let mut evidence = prepared.evidence("garbage").expect("it has mappings");
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

#[test]
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
