//! The location of a file and its caller: mounts, permissions, writers, limits; the answer is execve's for the same caller.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use libtest_mimic::Trial;
use nix::sys::resource::{Resource, setrlimit};
use serde_json::Value;

use crate::{asserting, asserting_with};
use support::alike::until_closed;
use support::elf::Elf;
use support::refused::{NOBODY, chown, file, needs_mounts, needs_root, program};
use support::{Call, Ending, builds, is_root, scratch};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        asserting_with("on_a_noexec_mount", needs_mounts(), noexec),
        asserting("a_file_that_is_open_for_writing", busy),
        asserting_with("by_a_user_who_may_not_read_it", needs_root(), unreadable),
        asserting_with(
            "by_a_user_who_may_not_execute_it",
            needs_root(),
            not_executable,
        ),
        asserting("set_id_bits_and_those_of_scripts", set_id),
        asserting("where_writable_and_executable_memory_is_forbidden", mdwe),
        asserting("under_a_limit_of_memory", limit),
        asserting("without_a_free_descriptor", no_descriptor),
    ]
}

/// The command's report if it is called in this way.
fn report(path: &Path, like: impl FnOnce(Call) -> Call) -> Value {
    let call = Call::new(&builds()[0])
        .args(["check", "--json"])
        .args([path]);
    let outcome = like(call).by_kernel();
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

fn names(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("a list");
    let names = findings.iter().map(|finding| finding["name"].as_str());
    names.map(|name| name.expect("each has a name")).collect()
}

/// The command reports the same errno as execve, with the finding of this name.
fn refused(path: &Path, name: &str, like: impl Fn(Call) -> Call) {
    let (report, kernel) = (
        report(path, &like),
        like(Call::new(path)).by_kernel().ending,
    );
    let Ending::Refused(errno) = kernel else {
        panic!("the kernel: {kernel:?}");
    };
    assert_eq!(
        report["errno"],
        format!("{:?}", nix::errno::Errno::from_raw(errno)),
        "{report}"
    );
    assert_eq!(names(&report)[0], name, "{report}");
}

fn noexec() {
    let directory = scratch();
    let path = program(directory.path().join("program"), 0o755);
    refused(&path, "noexec-mount", |call| {
        call.on_noexec(directory.path())
    });
}

fn busy() {
    let directory = scratch();
    let path = program(directory.path().join("program"), 0o755);
    let open = OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("it is ours");
    refused(&path, "open-for-writing", |call| call);
    drop(open);
    until_closed(&path);
    assert_eq!(report(&path, |call| call)["outcome"], "starts");
}

/// execve starts it, but its contents cannot be checked.
fn unreadable() {
    let directory = scratch();
    let path = program(directory.path().join("program"), 0o711);
    let report = report(&path, Call::unprivileged);
    assert_eq!(
        (&report["outcome"], names(&report)),
        (&"unknown".into(), vec!["no-read-permission"]),
        "{report}"
    );
    assert_eq!(
        Call::new(&path).unprivileged().by_kernel().ending,
        Ending::Exited(42)
    );
}

/// Errors in its contents are reported nevertheless.
fn not_executable() {
    let directory = scratch();
    let path = file(
        directory.path().join("program"),
        Elf::standard().to_bytes(),
        0o744,
    );
    refused(&path, "no-execute-permission", Call::unprivileged);
    assert!(names(&report(&path, Call::unprivileged)).contains(&"no-stack-header"));
}

fn set_id() {
    let directory = scratch();
    let path = program(directory.path().join("program"), 0o755);
    if is_root() {
        chown(&path, NOBODY, NOBODY);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).expect("it is ours");
    let said = report(&path, |call| call);
    assert_eq!(said["outcome"], "starts", "{said}");
    assert!(
        names(&said).contains(&"set-user-id") && names(&said).contains(&"set-group-id"),
        "{said}"
    );
    let text = format!("#!{}\n", path.display());
    let script = file(directory.path().join("script"), text, 0o4755);
    let said = report(&script, |call| call);
    assert_eq!(
        names(&said),
        ["set-user-id", "set-group-id", "script-set-id"],
        "{said}"
    );
    assert_eq!(said["findings"][0]["file"], path.display().to_string());
}

fn mdwe() {
    const PR_SET_MDWE: i32 = 65;
    let directory = scratch();
    let both = Elf::standard().with(|elf| elf.load(1).flags = 7);
    let path = file(directory.path().join("program"), both.to_bytes(), 0o755);
    let forbidden = |call: Call| call.setup(|| support::system::prctl(PR_SET_MDWE, [1]));
    let kernel = forbidden(Call::new(&path)).by_kernel().ending;
    let said = report(&path, forbidden);
    let expected = match kernel {
        Ending::Killed(signal) => (Value::from("killed"), Value::from(signal)),
        // An older kernel does not know PR_SET_MDWE.
        _ => (Value::from("starts"), Value::Null),
    };
    assert_eq!(
        (said["outcome"].clone(), said["signal"].clone()),
        expected,
        "{said}"
    );
}

fn limit() {
    let directory = scratch();
    let large = Elf::standard()
        .with_data()
        .with(|elf| elf.load(2).memory_size = 1 << 40);
    let path = file(directory.path().join("program"), large.to_bytes(), 0o755);
    let limited = |call: Call| call.setup(|| Ok(setrlimit(Resource::RLIMIT_AS, 1 << 36, 1 << 36)?));
    assert_eq!(
        limited(Call::new(&path)).by_kernel().ending,
        Ending::Killed(libc::SIGSEGV)
    );
    let said = report(&path, limited);
    assert_eq!(
        (said["outcome"].clone(), names(&said)[0]),
        ("killed".into(), "memory-limit"),
        "{said}"
    );
}

/// execve needs no descriptor, so the report does not mention descriptors.
fn no_descriptor() {
    let directory = scratch();
    let path = program(directory.path().join("program"), 0o755);
    let without = |call: Call| call.setup(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 3, 3)?));
    assert_eq!(
        without(Call::new(&path)).by_kernel().ending,
        Ending::Exited(42)
    );
    // The distributable build needs no descriptor to start.
    let build = builds().pop().expect("there is one");
    let call = Call::new(build).args(["check", "--json"]).args([&path]);
    let outcome = without(call).by_kernel();
    // A dynamically linked command does not get this far.
    if outcome.ending != Ending::Exited(127) {
        assert_eq!(outcome.ending, Ending::Exited(2), "{outcome:?}");
    }
}
