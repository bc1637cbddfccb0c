//! Tests that need root, a new kernel or some installed program, which not every machine or user has. If it is missing,
//! the test is ignored, and its kind names the requirement.
#![allow(unsafe_code, reason = "brings a child into a state")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed};
use support::alike::{alike, attributes, copy, program};
use support::refused::{self, needs_mounts};
use support::system::{address, prctl, set_capabilities, system_call};
use support::trials::{asserting, lacks, trial};
use support::{Call, Ending, Outcome, builds, is_root, scratch};

const SYS_MSEAL: i64 = 462;
const NOBODY: u64 = 65534;

fn main() {
    let root = lacks("root", is_root());
    let mounts = root.or_else(needs_mounts);
    // The length is 0: the call only shows whether mseal exists.
    let seals = lacks("mseal", system_call(SYS_MSEAL, [0, 0, 0]).is_ok());
    let mut trials = vec![
        asserting("saved_ids_become_the_effective_ones", root, saved_ids),
        asserting("an_ordinary_user_loses_capabilities", root, capabilities),
        asserting("ambient_capabilities_are_kept", root, ambient_capabilities),
        asserting("securebits_are_kept_but_for_keepcaps", root, securebits),
        asserting("an_undumpable_user_can_exec", root, undumpable),
        asserting("noexec_mounts_are_refused_unless_ignored", mounts, noexec),
        asserting(
            "on_a_noexec_mount_each_group_counts_as_elsewhere",
            mounts,
            groups_on_noexec,
        ),
        asserting("set_id_programs_are_refused_unless_ignored", root, set_id),
        asserting(
            "set_id_bits_that_the_kernel_ignores_are_ignored",
            mounts,
            set_id_without_effect,
        ),
        asserting("a_sealed_mapping_is_refused", seals, sealed),
    ];
    for (name, args) in REAL_PROGRAMS {
        let path = find(name);
        let missing = lacks(name, path.is_some());
        let run = move || real_program(path.as_deref().unwrap_or(Path::new("")), args);
        trials.push(trial(format!("{name}_runs"), missing, run));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

const REAL_PROGRAMS: [(&str, &[&str]); 8] = [
    (
        "bash",
        &["-c", "echo $((6 * 7)) $0; (exit 3) | cat; exit 9"],
    ),
    ("sh", &["-c", "cat <<E\nhere\nE\nkill -TERM $$"]),
    (
        "python3",
        &[
            "-c",
            "import os, threading; print(os.environ['PATH'], 6 * 7)",
        ],
    ),
    ("perl", &["-e", "print 6 * 7; exit 5"]),
    ("git", &["--version"]),
    ("busybox", &["sh", "-c", "echo $((6 * 7)); ls /"]),
    ("gcc", &["--version"]),
    ("cat", &["/etc/passwd", "/nonexistent"]),
];

fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

fn real_program(path: &Path, args: &[&str]) -> Result<(), Failed> {
    let variables = env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME");
    let equation = |(name, value): (OsString, OsString)| {
        let mut text = name;
        text.push("=");
        text.push(value);
        text
    };
    let mut envp: Vec<_> = variables.map(equation).collect();
    envp.sort();
    let outcome = alike(&Call::new(path).args(args).envp(envp), &[""]);
    match outcome.ending {
        Ending::Refused(errno) => Err(format!("the kernel refuses: {errno}").into()),
        _ => Ok(()),
    }
}

fn set_ids(real: u64, effective: u64, saved: u64) -> io::Result<()> {
    system_call(libc::SYS_setgroups, [0, 0])?;
    system_call(libc::SYS_setresgid, [real, effective, saved])?;
    system_call(libc::SYS_setresuid, [real, effective, saved])?;
    // The change of ids has cleared this flag; `undumpable` tests that.
    prctl(libc::PR_SET_DUMPABLE, [1])
}

fn saved_ids() {
    let keys = ["Uid", "Gid", "secure", "dumpable", "CapPrm", "CapEff"];
    for [real, effective, saved] in [
        [NOBODY, 65533, 0],
        [NOBODY, NOBODY, 65533],
        [0, NOBODY, 0],
        [NOBODY, 0, NOBODY],
    ] {
        let told = attributes(&keys, move || set_ids(real, effective, saved));
        let uids = format!("Uid:\t{real}\t{effective}\t{effective}\t{effective}");
        assert!(told.has(&uids), "{told:?}");
        let secure = u8::from(real != effective);
        assert!(told.has(&format!("secure {secure}")), "{told:?}");
    }
}

fn capabilities() {
    let told = attributes(&["Cap", "Uid", "keepcaps"], || {
        prctl(libc::PR_SET_KEEPCAPS, [1])?;
        set_ids(NOBODY, NOBODY, NOBODY)?;
        set_capabilities(0xff)
    });
    assert!(told.has("CapPrm:\t0000000000000000"), "{told:?}");
    assert!(told.has("CapInh:\t00000000000000ff"), "{told:?}");
}

fn ambient_capabilities() {
    let told = attributes(&["Cap", "Uid"], || {
        prctl(libc::PR_SET_KEEPCAPS, [1])?;
        set_ids(NOBODY, NOBODY, NOBODY)?;
        set_capabilities(0xff)?;
        prctl(libc::PR_CAP_AMBIENT, [libc::PR_CAP_AMBIENT_RAISE as u64, 3])
    });
    assert!(told.has("CapEff:\t0000000000000008"), "{told:?}");
}

fn securebits() {
    let told = attributes(&["securebits", "keepcaps", "Cap"], || {
        const NO_SETUID_FIXUP_AND_KEEP_CAPS: u64 = 0x14;
        prctl(libc::PR_SET_SECUREBITS, [NO_SETUID_FIXUP_AND_KEEP_CAPS])
    });
    assert!(told.has("securebits 0x4"), "{told:?}");
}

fn undumpable() {
    let told = attributes(&["dumpable", "Uid"], || {
        set_ids(NOBODY, NOBODY, NOBODY)?;
        prctl(libc::PR_SET_DUMPABLE, [0])
    });
    assert!(told.has("dumpable 1"), "{told:?}");
}

/// Each build runs an ELF program in a mount namespace in which the program's directory is a noexec file system. Our
/// answer there is the kernel's answer on a file system that allows execution.
fn groups_on_noexec() {
    const GROUP: u32 = 77;
    let directory = scratch();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), open).expect("it is ours");
    let path = directory.path().join("program");
    copy(program("attributes"), &path);
    chown(&path, Some(0), Some(GROUP)).expect("root may");
    let as_member = |call: Call| {
        let nobody = || refused::set_ids([refused::NOBODY; 3], [refused::NOBODY; 3]);
        call.groups(&[GROUP]).setup(nobody).dumpable()
    };
    for mode in [0o750, 0o745, 0o705, 0o711, 0o700, 0o754] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let kernel = as_member(Call::new(&path)).by_kernel();
        let starts = kernel.ending == Ending::Exited(42);
        // A file that cannot be read cannot be loaded. Of these modes, only 0711 allows execution but not reading.
        let starts = starts && mode & 0o044 != 0;
        for build in builds() {
            let call = Call::new(&build).args(["run", "--ignore-noexec"]);
            let call = call.args([&path]).on_noexec(directory.path());
            let ours = as_member(call).by_kernel();
            let runs = ours.ending == Ending::Exited(42);
            assert_eq!(runs, starts, "{mode:o}: {kernel:?} {ours:?}");
        }
    }
}

fn on_mount(directory: &Path, flags: u64, options: &[&str], build: &Path) -> Outcome {
    let place = support::c_string(directory.as_os_str());
    let file = support::c_string(program("attributes").as_os_str());
    let target = support::c_string(directory.join("program").as_os_str());
    let call = Call::new(build).args(["run"]).args(options);
    let call = call.args([directory.join("program")]).setup(move || {
        system_call(libc::SYS_unshare, [libc::CLONE_NEWNS as u64])?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let (none, kind) = (address(c"none"), address(c"tmpfs"));
        system_call(libc::SYS_mount, [none, address(c"/"), none, private])?;
        system_call(libc::SYS_mount, [none, address(&*place), kind, 0, 0])?;
        let from = str::from_utf8(file.to_bytes()).map_err(io::Error::other)?;
        let to = str::from_utf8(target.to_bytes()).map_err(io::Error::other)?;
        std::fs::copy(from, to)?;
        set_mode(Path::new(to))?;
        let flags = flags | libc::MS_REMOUNT;
        system_call(libc::SYS_mount, [none, address(&*place), kind, flags, 0])?;
        set_ids(0, 0, 0)
    });
    call.by_kernel()
}

/// Makes the file set-user-id to the user `nobody`.
fn set_mode(path: &Path) -> io::Result<()> {
    chown(path, Some(65534), Some(65534))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o4755))
}

fn has_error(outcome: &Outcome, text: &str) {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.ending, Ending::Exited(126), "{outcome:?}");
    assert!(stderr.contains(text), "{stderr}");
}

fn noexec() {
    let directory = scratch();
    for build in builds() {
        let on = |options: &[&str]| on_mount(directory.path(), libc::MS_NOEXEC, options, &build);
        has_error(
            &on(&["--ignore-setid"]),
            ": on a file system mounted noexec (EACCES)\n",
        );
        let ours = on(&["--ignore-noexec", "--ignore-setid"]);
        assert_eq!(ours.ending, Ending::Exited(42), "{ours:?}");
    }
}

fn set_id() {
    let directory = scratch();
    let path = directory.path().join("program");
    copy(program("attributes"), &path);
    set_mode(&path).expect("root may");
    let kernel = Call::new(&path).by_kernel();
    assert!(kernel.has("Uid:\t0\t65534\t65534\t65534"), "{kernel:?}");
    for build in builds() {
        let run = |options: &[&str]| Call::new(&path).options(options).by_command(&build);
        let refused = run(&[]);
        assert_eq!(refused.ending, Ending::Refused(libc::EPERM), "{refused:?}");
        let reason = "it is set-user-id (to user 65534), which only the kernel can honour (EPERM)";
        let line = format!("supplant: {}: {reason}\n", path.display());
        assert_eq!(String::from_utf8_lossy(&refused.stderr), line);
        let ours = run(&["--ignore-setid"]);
        assert!(
            ours.has("Uid:\t0\t0\t0\t0") && ours.has("secure 0"),
            "{ours:?}"
        );
    }
}

fn set_id_without_effect() {
    let directory = scratch();
    for build in builds() {
        let ours = on_mount(directory.path(), libc::MS_NOSUID, &[], &build);
        assert!(ours.has("Uid:\t0\t0\t0\t0"), "{ours:?}");
    }
    let path = directory.path().join("program");
    copy(program("attributes"), &path);
    set_mode(&path).expect("root may");
    let call = Call::new(&path).setup(|| prctl(libc::PR_SET_NO_NEW_PRIVS, [1]));
    let told = alike(&call, &["Uid", "secure", "Cap"]);
    assert!(told.has("Uid:\t0\t0\t0\t0"), "{told:?}");
}

/// Maps a page in this process that cannot be unmapped.
fn seal_a_page() -> io::Result<()> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let page = system_call(libc::SYS_mmap, [0, 4096, 1, flags, u64::MAX, 0])?;
    system_call(SYS_MSEAL, [page as u64, 4096, 0]).map(drop)
}

fn sealed() {
    let call = Call::new(program("attributes")).setup(seal_a_page);
    assert_eq!(call.by_kernel().ending, Ending::Exited(42));
    assert_eq!(call.by_library().ending, Ending::Refused(libc::EPERM));
}
