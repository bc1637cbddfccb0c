//! Execute permission (E-7), and files that may be executed but not read (P-30).

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use support::refused::{
    NOBODY, all, chown, expect, file, needs_root, program, same, same_by_all, set_ids,
};
use support::system::{address, system_call};
use support::trials::trial;
use support::{Call, Ending, builds, is_root, scratch};

/// Each bit alone, each combination of execute bits with and without the read bits, and usual modes.
const MODES: [u32; 30] = [
    0o000, 0o001, 0o010, 0o100, 0o011, 0o101, 0o110, 0o111, 0o444, 0o445, 0o454, 0o455, 0o544,
    0o545, 0o554, 0o555, 0o644, 0o666, 0o711, 0o744, 0o755, 0o655, 0o754, 0o745, 0o777, 0o722,
    0o005, 0o050, 0o500, 0o311,
];

/// The name, the caller, and the owner of the file: user and group.
type Relation = (&'static str, fn(Call) -> Call, Option<(u32, u32)>);

const OTHER_GROUP: u32 = 4242;

const RELATIONS: [Relation; 6] = [
    ("root", |call| call, Some((NOBODY, NOBODY))),
    ("the_owner", Call::unprivileged, Some((NOBODY, 0))),
    ("the_group", Call::unprivileged, Some((0, NOBODY))),
    (
        "a_supplementary_group",
        |call| call.groups(&[OTHER_GROUP]).setup(nobody).dumpable(),
        Some((0, OTHER_GROUP)),
    ),
    ("others", Call::unprivileged, Some((0, 0))),
    ("oneself", |call| call, None),
];

fn nobody() -> io::Result<()> {
    set_ids([NOBODY; 3], [NOBODY; 3])
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = RELATIONS
        .into_iter()
        .map(|(name, caller, owner)| {
            let missing = owner.and_then(|_| needs_root());
            let name = format!("each_mode_for_{name}");
            trial(name, missing, move || each_mode(caller, owner))
        })
        .collect();
    trials.push(trial(
        "a_script_that_may_not_be_read",
        None,
        unreadable_script,
    ));
    trials.push(trial(
        "an_interpreter_that_may_not_be_read",
        None,
        unreadable_interpreter,
    ));
    for (name, ids) in IDS {
        trials.push(trial(
            format!("rights_of_{name}"),
            needs_root(),
            move || rights(|path| Call::new(path).groups(&[]).setup(ids).dumpable()),
        ));
    }
    trials.push(trial(
        "right_after_a_change_of_the_user",
        needs_root(),
        || rights(|path| Call::new(path).setup(nobody)),
    ));
    let missing = needs_root().or_else(|| (!has_acls()).then_some("access control lists"));
    for (name, entries) in ACLS {
        trials.push(trial(format!("an_acl_with_{name}"), missing, move || {
            let at = scratch();
            let path = program(at.path().join("program"), 0o755);
            set_acl(&path, &entries)?;
            same_by_all(&Call::new(path).unprivileged()).map(drop)
        }));
    }
    trials
}

/// Runs a file with each mode, by the kernel and by us: the same result, or known difference P-30.
fn each_mode(caller: fn(Call) -> Call, owner: Option<(u32, u32)>) -> Result<(), Failed> {
    let at = scratch();
    all(MODES.map(|mode| {
        let path = program(at.path().join(format!("{mode:o}")), 0o600);
        if let Some((uid, gid)) = owner {
            chown(&path, uid, gid);
        }
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, permissions).expect("it is ours");
        let call = caller(Call::new(&path));
        let readable = caller(Call::new("/bin/cat").args([&path])).by_kernel();
        let result = if readable.ending == Ending::Exited(0) {
            same(&call)
        } else {
            same_or_unreadable(&call)
        };
        (format!("{mode:04o}"), result)
    }))
}

/// If the kernel rejects the file, we reject it alike; if the kernel runs it, we reject it and name the cause.
fn same_or_unreadable(call: &Call) -> Result<support::Outcome, Failed> {
    let kernel = call.by_kernel();
    if kernel.ending != Ending::Exited(42) {
        return same(call);
    }
    expect(&call.by_library(), Ending::Refused(libc::EACCES))?;
    for build in builds() {
        let ours = call.by_command(&build);
        expect(&ours, Ending::Refused(libc::EACCES))?;
        if !String::from_utf8_lossy(&ours.stderr).contains("no read permission (mode 0") {
            return Err(format!("{}: {ours:?}", build.display()).into());
        }
    }
    Ok(kernel)
}

/// The kernel starts the script's interpreter, which could not open the script: here the interpreter is not started (P-30,
/// B-15).
fn unreadable_script() -> Result<(), Failed> {
    let at = scratch();
    let interpreter = program(at.path().join("program"), 0o755);
    let script = file(
        at.path().join("script"),
        format!("#!{}\n", interpreter.display()),
        0o111,
    );
    let kernel = same_or_unreadable(&Call::new(script).unprivileged())?;
    expect(&kernel, Ending::Exited(42))
}

fn unreadable_interpreter() -> Result<(), Failed> {
    let at = scratch();
    let interpreter = program(at.path().join("program"), 0o111);
    let script = file(
        at.path().join("script"),
        format!("#!{}\n", interpreter.display()),
        0o755,
    );
    let kernel = same_or_unreadable(&Call::new(script).unprivileged())?;
    expect(&kernel, Ending::Exited(42))
}

type Identity = (&'static str, fn() -> io::Result<()>);

/// Only the effective id decides.
const IDS: [Identity; 4] = [
    ("a_real_user_who_is_nobody", || {
        set_ids([NOBODY, 0, 0], [NOBODY, 0, 0])
    }),
    ("an_effective_user_who_is_nobody", || {
        set_ids([0, NOBODY, 0], [0, NOBODY, 0])
    }),
    ("an_effective_group_of_nobody", || {
        set_ids([0, 0, 0], [0, NOBODY, 0])
    }),
    ("a_saved_user_who_is_root", || {
        set_ids([NOBODY, NOBODY, 0], [NOBODY, NOBODY, 0])
    }),
];

/// Tests files for root only, for nobody only, for all users and for no user; unreadable files are left out.
fn rights(call: impl Fn(&Path) -> Call) -> Result<(), Failed> {
    let at = scratch();
    let files = [
        (0, 0o744),
        (NOBODY, 0o744),
        (0, 0o755),
        (NOBODY, 0o644),
        (0, 0o654),
        (NOBODY, 0o475),
    ];
    all(files.map(|(owner, mode)| {
        let path = program(at.path().join(format!("{owner}-{mode:o}")), mode);
        chown(&path, owner, owner);
        let name = format!("{mode:04o} of user {owner}");
        (name, same_by_all(&call(&path)))
    }))
}

/// An entry of an access control list: tag, permissions, user.
type Entry = (u16, u16, u32);

const OWNER: Entry = (0x01, 7, u32::MAX);
const GROUP: Entry = (0x04, 0, u32::MAX);
const MASK: Entry = (0x10, 7, u32::MAX);
const OTHERS: Entry = (0x20, 0, u32::MAX);

const ACLS: [(&str, [Entry; 5]); 5] = [
    (
        "the_right_to_execute",
        [OWNER, (0x02, 5, NOBODY), GROUP, MASK, OTHERS],
    ),
    (
        "the_right_to_read",
        [OWNER, (0x02, 4, NOBODY), GROUP, MASK, OTHERS],
    ),
    (
        "a_right_that_others_have",
        [OWNER, (0x02, 0, NOBODY), GROUP, MASK, (0x20, 5, u32::MAX)],
    ),
    (
        "a_right_that_is_masked",
        [OWNER, (0x02, 5, NOBODY), GROUP, (0x10, 4, u32::MAX), OTHERS],
    ),
    (
        "another_user_in_it",
        [OWNER, (0x02, 5, 4242), GROUP, MASK, OTHERS],
    ),
];

fn set_acl(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, user) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(user.to_le_bytes());
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let name = c"system.posix_acl_access";
    let (path, name) = (path.as_ptr().addr(), name.as_ptr().addr());
    let arguments = [
        path as u64,
        name as u64,
        address(&bytes[..]),
        bytes.len() as u64,
        0,
    ];
    system_call(libc::SYS_setxattr, arguments).map(drop)
}

fn has_acls() -> bool {
    let at = scratch();
    let path = file(at.path().join("file"), "", 0o755);
    is_root() && set_acl(&path, &ACLS[0].1).is_ok()
}
