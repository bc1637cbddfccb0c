//! `supplant layout` against the kernel in the same run: mappings, randomisation, memory and core files.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use serde_json::Value;
use support::layouts::{core_and_maps, fixed, json, layout, number, programs};
use support::system::needs_tracing;
use support::trials;
use support::trials::ignore;
use support::{builds, scratch};

trials![
    the_plan_is_what_the_kernel_does,
    two_processes_that_we_load_differ_by_chance_in_as_many_places_as_the_kernels,
    a_second_program_that_is_refused_is_told_once,
    chance_stays_in_its_window_in_the_kernels_hands,
    the_offset_that_is_told_holds_the_byte_that_is_in_memory,
    a_core_file_tells_what_maps_told,
    a_comparison_has_a_page_with_both_sides,
    a_program_whose_file_is_gone_still_has_its_segments,
];

/// The fields that maps also contains (range, mode, offset), the name, the role and other fields of each region.
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

fn the_plan_is_what_the_kernel_does() {
    needs_tracing();
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
            ignore("a personality without randomisation");
        };
        assert_eq!(mappings(&plan), mappings(&kernel), "{name}");
        assert_eq!(mappings(&ours), mappings(&kernel), "{name}");
        assert_eq!(plan["anchors"], kernel["anchors"], "{name}");
    }
}

fn chance_stays_in_its_window_in_the_kernels_hands() {
    needs_tracing();
    for program in programs().take(4) {
        for _ in 0..12 {
            let layout = json(&[&format!("kernel:{}", program.display())]);
            for anchor in layout["anchors"].as_array().expect("there are anchors") {
                let Some(window) = anchor["window"].as_array() else {
                    continue;
                };
                let (from, to) = (number(&window[0]), number(&window[1]));
                let address = number(&anchor["address"]);
                // An address that is aligned to more than a page may be a little lower.
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

/// If a region shows a file, the byte at the file offset that `--at` reports is the byte in memory.
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
        // RELRO was written before it became read-only.
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

fn a_core_file_tells_what_maps_told() {
    let directory = scratch();
    let core = core_and_maps(directory.path());
    let maps = directory.path().join("maps");
    let subjects =
        [("core", &core), ("maps", &maps)].map(|(kind, path)| format!("{kind}:{}", path.display()));
    let both = json(&["--with", &subjects[1], &subjects[0]]);
    for pair in both["pairs"].as_array().expect("there are pairs") {
        // The second mapping of the vDSO's data has a separate name, which a core file does not contain.
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

fn a_comparison_has_a_page_with_both_sides() {
    needs_tracing();
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

fn a_program_whose_file_is_gone_still_has_its_segments() {
    let directory = scratch();
    let path = directory.path().join("gone");
    support::alike::copy("/bin/cat", &path);
    let mut child = Command::new(&path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("it was just copied");
    fs::remove_file(&path).expect("it is ours");
    let layout = json(&[&format!("pid:{}", child.id())]);
    drop(child.stdin.take());
    child.wait().expect("it is ours");
    let program = &layout["files"][0];
    let is_gone = program["path"]
        .as_str()
        .is_some_and(|path| path.ends_with("gone (deleted)"));
    assert!(is_gone && program["owner"] == "program", "{program}");
}

/// The keys of the parts that have another address on the right, if a program is inspected twice. Nothing else differs.
fn moved(subject: &str, launcher: &[&str]) -> Option<Vec<String>> {
    let supplant = builds().remove(0);
    let mut words: Vec<_> = launcher.iter().map(AsRef::as_ref).collect();
    words.push(supplant.as_os_str());
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(["layout", "--json", "-", "--with", subject, subject])
        .output()
        .ok()?;
    let both: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let pairs = both["pairs"].as_array().expect("there are pairs");
    let different = pairs
        .iter()
        .find(|pair| pair["changes"] != Value::Array(Vec::new()));
    assert_eq!(different, None);
    let moved = pairs.iter().filter(|pair| !pair["moved"].is_null());
    Some(moved.map(|pair| pair["key"].to_string()).collect())
}

fn two_processes_that_we_load_differ_by_chance_in_as_many_places_as_the_kernels() {
    needs_tracing();
    let (ours, kernel) = ("/bin/true", "kernel:/bin/true");
    let moved_by_kernel = moved(kernel, &[]).expect("it was built");
    if fs::read_to_string("/proc/sys/kernel/randomize_va_space").is_ok_and(|text| text == "2\n") {
        assert!(moved_by_kernel.len() > 8, "{moved_by_kernel:?}");
    }
    assert_eq!(moved(ours, &[]).expect("it was built"), moved_by_kernel);
    match moved(ours, &["setarch", "-R"]) {
        Some(moved) => assert_eq!(moved, Vec::<String>::new()),
        None => println!("ignored: there is no setarch"),
    }
}

fn a_second_program_that_is_refused_is_told_once() {
    needs_tracing();
    for wrong in ["/nonexistent/program", "/etc/passwd", "-"] {
        let output = layout(&["--with", wrong, "/bin/true"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let start = format!("supplant: layout: {wrong}: the program does not start: it is refused");
        assert!(
            text.starts_with(&start) && text.lines().count() == 1,
            "{text}"
        );
    }
}
