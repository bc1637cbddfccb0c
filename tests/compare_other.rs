//! `supplant compare --other`: another loader in place of supplant.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use support::comparing::{assert_tells, compare, supplant, text};
use support::elf::Elf;
use support::system::needs_tracing;
use support::trials;
use support::trials::ignore;
use support::{builds, is_root, scratch, test_binaries};

trials![
    a_loader_that_calls_execve_is_no_different,
    the_dynamic_linker_as_a_launcher_stays_the_program_that_proc_names,
    we_as_another_loader_are_stopped_at_the_programs_entry,
    what_does_not_get_there_is_told,
    a_loader_that_cannot_be_started_tells_nothing_of_the_program,
    a_loader_that_execve_kills_was_not_started_either,
    the_program_alone_as_its_loader_is_refused_as_it_is_by_the_kernel,
    with_to_exit_only_what_can_be_seen_from_outside_counts,
];

const DYNAMIC_LINKER: &str = "/lib64/ld-linux-x86-64.so.2";

fn by_other(other: &str, program: &Path) -> std::process::Output {
    compare(&["--other", other], program)
}

fn a_loader_that_calls_execve_is_no_different() {
    needs_tracing();
    let programs = ["glibc-static/tell", "glibc-pie/tell", "bare/align_2m"];
    let built = programs.iter().map(|name| test_binaries().join(name));
    for program in built
        .chain(["/bin/true".into()])
        .filter(|path| path.exists())
    {
        assert_tells(&by_other("env {}", &program), 0, &["0 different, 0 known"]);
    }
}

fn the_dynamic_linker_as_a_launcher_stays_the_program_that_proc_names() {
    needs_tracing();
    if !Path::new(DYNAMIC_LINKER).exists() {
        ignore(DYNAMIC_LINKER);
    }
    let output = by_other(&format!("{DYNAMIC_LINKER} {{}}"), Path::new("/bin/true"));
    assert_tells(&output, 1, &["comm", "exe", "saved_auxv.AT_PHDR"]);
    assert!(
        !text(&output).contains("region.exe.1."),
        "the code is the file's: {}",
        text(&output)
    );
}

fn we_as_another_loader_are_stopped_at_the_programs_entry() {
    needs_tracing();
    let run = format!("{} run {{}}", builds().remove(0).display());
    let output = by_other(&run, Path::new("/bin/true"));
    if is_root() {
        assert_tells(&output, 0, &["0 different"]);
    } else {
        // The exe link, which an ordinary user cannot set. For another loader, it is not a known difference.
        assert_tells(&output, 1, &["1 different", "exe "]);
    }
    let program = test_binaries().join("glibc-static/tell");
    if program.exists() && is_root() {
        let output = by_other(&run, &program);
        assert_tells(
            &output,
            1,
            &["reg.flags", "reg.syscall", "stack.below", "3 different"],
        );
    }
}

fn what_does_not_get_there_is_told() {
    needs_tracing();
    let program = Path::new("/bin/true");
    let output = by_other("false {}", program);
    assert_tells(
        &output,
        1,
        &["kernel started", "other  ended with status 1 before that"],
    );
    let output = by_other("false", program);
    assert_tells(&output, 2, &["has no {}"]);
    let output = by_other(" ", program);
    assert_tells(&output, 2, &["--other: the command is empty"]);
    let output = by_other("env {}", Path::new("/nonexistent"));
    assert_tells(&output, 2, &["No such file or directory (ENOENT)"]);
    let output = by_other("env {}", Path::new("/etc/passwd"));
    assert_tells(&output, 2, &["not an ELF program"]);
    let words = [
        "compare",
        "--other",
        "sh -c {}",
        "--time-limit",
        "0.3",
        "sleep",
        "9",
    ];
    assert_tells(&supplant(&words), 1, &["other  "]);
}

/// Loaders that execve refuses.
fn refused_loaders(directory: &Path) -> Vec<PathBuf> {
    let file = |name: &str, text: &str, mode| {
        let path = directory.join(name);
        fs::write(&path, text).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        path
    };
    vec![
        file("plain", "text", 0o644),
        file("junk", "text", 0o755),
        file("script", "#!/nonexistent/interpreter\n", 0o755),
        directory.to_owned(),
        directory.join("nonexistent"),
        "a-name-that-is-nowhere-in-PATH".into(),
    ]
}

fn a_loader_that_cannot_be_started_tells_nothing_of_the_program() {
    needs_tracing();
    let directory = scratch();
    for loader in refused_loaders(directory.path()) {
        let refusal = Command::new(&loader).spawn().expect_err("it is refused");
        let errno = Errno::from_raw(refusal.raw_os_error().expect("by the kernel"));
        let reason = format!(
            "--other: {}: {} ({errno:?})",
            loader.display(),
            errno.desc()
        );
        let other = format!("{} {{}}", loader.display());
        for mode in [&["--at", "program"][..], &["--to-exit"]] {
            let options = [mode, &["--other", &other]].concat();
            let output = compare(&options, Path::new("/bin/true"));
            let line = format!("supplant: /bin/true: cannot compare: {reason}\n");
            assert_tells(&output, 2, &[]);
            assert_eq!(text(&output), line);
            let output = compare(
                &[&options[..], &["--json"]].concat(),
                Path::new("/bin/true"),
            );
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(output.status.code(), Some(2));
            assert_eq!(
                (&json["outcome"], &json["reason"]),
                (&"failed".into(), &reason.clone().into())
            );
        }
    }
}

fn a_loader_that_execve_kills_was_not_started_either() {
    needs_tracing();
    let directory = scratch();
    let killed = Elf::standard()
        .with(|elf| elf.program_headers[1].file_size = 0x3000)
        .write(directory.path().join("killed"));
    let output = by_other(
        &format!("{} {{}}", killed.display()),
        Path::new("/bin/true"),
    );
    assert_tells(&output, 2, &["killed: execve kills it (signal 11)"]);
}

fn the_program_alone_as_its_loader_is_refused_as_it_is_by_the_kernel() {
    needs_tracing();
    let directory = scratch();
    let program = directory.path().join("true");
    fs::copy("/bin/true", &program).expect("it is there");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_tells(&by_other("{}", &program), 0, &["both refused with EACCES"]);
}

fn with_to_exit_only_what_can_be_seen_from_outside_counts() {
    needs_tracing();
    let words = [
        "compare",
        "--to-exit",
        "--other",
        "env {}",
        "/bin/echo",
        "a b",
    ];
    assert_tells(&supplant(&words), 0, &["0 different, 0 known", "4 bytes"]);
    let words = [
        "compare",
        "--to-exit",
        "--other",
        "echo {}",
        "/bin/echo",
        "x",
    ];
    assert_tells(&supplant(&words), 1, &["stdout.000001", "/bin/echo x\\n"]);
}
