//! The capability sets, ids, securebits and AT_SECURE of a program, for processes and files of every kind: as by execve, or refused
//! where only the kernel can give them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use support::alike::{copy, kept, program};
use support::system::{address, prctl, system_call};
use support::trials::ignore;
use support::{Call, Ending, Outcome, difference, is_root, scratch, trials};

trials![
    in_every_state_of_ids_and_securebits_capabilities_are_those_of_execve,
    the_capabilities_of_files_are_honoured_as_by_execve,
    no_new_privs_takes_what_a_file_would_give,
    user_0_that_would_regain_capabilities_has_the_personality_of_execve,
];

const BIND: u32 = 10;
const RAW: u32 = 13;
const SETPCAP: u32 = 8;

/// Securebits.
const NOROOT: u64 = 1;
const NO_SETUID_FIXUP: u64 = 1 << 2;
const KEEP_CAPS: u64 = 1 << 4;
const KEEP_CAPS_LOCKED: u64 = 1 << 5;
const NO_CAP_AMBIENT_RAISE: u64 = 1 << 6;

/// The state of a process before the exec.
#[derive(Clone, Debug)]
struct State {
    /// Real, effective, saved; for users and groups.
    ids: [u64; 3],
    securebits: u64,
    /// Permitted, effective and inheritable.
    held: Vec<u32>,
    ambient: bool,
    /// Not in the bounding set.
    unbound: Vec<u32>,
    no_new_privs: bool,
    /// The file-system group id, if it is not the effective one.
    file_group: Option<u64>,
}

impl State {
    fn new(ids: [u64; 3]) -> Self {
        Self {
            ids,
            securebits: 0,
            held: vec![BIND],
            ambient: false,
            unbound: Vec::new(),
            no_new_privs: false,
            file_group: None,
        }
    }

    /// From user 0 with all capabilities.
    fn enter(&self) -> io::Result<()> {
        for capability in &self.unbound {
            prctl(libc::PR_CAPBSET_DROP, [u64::from(*capability)])?;
        }
        prctl(libc::PR_SET_KEEPCAPS, [1])?;
        system_call(libc::SYS_setgroups, [0, 0])?;
        system_call(libc::SYS_setresgid, self.ids)?;
        if let Some(group) = self.file_group {
            system_call(libc::SYS_setfsgid, [group])?;
        }
        system_call(libc::SYS_setresuid, self.ids)?;
        let held = mask(&self.held);
        set_capabilities(held | mask(&[SETPCAP]), held)?;
        if self.ambient {
            let arguments = [libc::PR_CAP_AMBIENT_RAISE as u64, BIND.into()];
            prctl(libc::PR_CAP_AMBIENT, arguments)?;
        }
        prctl(libc::PR_SET_SECUREBITS, [self.securebits])?;
        set_capabilities(held, held)?;
        if self.no_new_privs {
            prctl(libc::PR_SET_NO_NEW_PRIVS, [1])?;
        }
        Ok(())
    }

    fn call(&self, program: &Path) -> Call {
        let state = self.clone();
        Call::new(program)
            .args(["few"])
            .setup(move || state.enter())
            .dumpable()
    }
}

fn mask(capabilities: &[u32]) -> u64 {
    capabilities.iter().map(|number| 1 << number).sum()
}

fn set_capabilities(held: u64, inheritable: u64) -> io::Result<()> {
    let header = [0x2008_0522_u32, 0];
    let half = |shift: u32| [held, held, inheritable].map(|set| (set >> shift) as u32);
    let sets = [half(0), half(32)];
    system_call(libc::SYS_capset, [address(&header), address(&sets)]).map(drop)
}

const KEYS: [&str; 8] = [
    "keepcaps",
    "securebits",
    "Uid",
    "Gid",
    "Cap",
    "secure ",
    "dumpable",
    "no_new_privs",
];

fn outcomes(state: &State, path: &Path) -> [Outcome; 2] {
    let call = state.call(path);
    // A locked bit cannot be cleared.
    let is_locked = state.securebits & KEEP_CAPS != 0 && state.securebits & KEEP_CAPS_LOCKED != 0;
    let keys = if is_locked { &KEYS[2..] } else { &KEYS };
    [call.by_kernel(), call.by_library()].map(|outcome| kept(outcome, keys))
}

/// The mask in a line of the program.
fn set(outcome: &Outcome, name: &str) -> u64 {
    let line = outcome.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.unwrap_or_else(|| panic!("{name} in {outcome:?}"));
    u64::from_str_radix(digits.trim(), 16).expect("it is a mask")
}

/// The same, or refused with EPERM where only the kernel can give something.
fn compare(state: &State, path: &Path) -> Result<bool, String> {
    let [kernel, ours] = outcomes(state, path);
    if kernel == ours {
        return Ok(true);
    }
    let gained = || set(&kernel, "CapPrm:") & !mask(&state.held) != 0;
    let shown = || format!("{state:?}: {}", difference(&kernel, &ours));
    match ours.ending {
        Ending::Refused(libc::EPERM) if kernel.ending == Ending::Exited(42) && gained() => {
            Ok(false)
        }
        // User 0 regains capabilities by execve alone.
        Ending::Exited(42) if state.ids[..2].contains(&0) && gained() => {
            let without = |outcome: &Outcome| {
                let lines = outcome.lines();
                let others =
                    lines.filter(|line| !line.starts_with("CapPrm") && !line.starts_with("CapEff"));
                others.map(str::to_owned).collect::<Vec<_>>()
            };
            (without(&kernel) == without(&ours))
                .then_some(false)
                .ok_or_else(shown)
        }
        _ => Err(shown()),
    }
}

/// Compares all states; returns how many were the same.
fn compare_all(states: &[State], path: &Path) -> usize {
    let results: Vec<_> = states.iter().map(|state| compare(state, path)).collect();
    let faults: Vec<_> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    assert!(
        faults.is_empty(),
        "{} of {}: {:#?}",
        faults.len(),
        states.len(),
        &faults[..faults.len().min(5)]
    );
    results.iter().filter(|result| **result == Ok(true)).count()
}

/// A copy of the program that every user may run.
fn place(folder: &tempfile::TempDir) -> PathBuf {
    if !is_root() {
        ignore("root");
    }
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open).expect("it is ours");
    let path = folder.path().join("program");
    copy(program("attributes"), &path);
    path
}

const IDS: [[u64; 3]; 7] = [
    [1, 1, 1],
    [1, 1, 0],
    [1, 2, 0],
    [1, 2, 2],
    [0, 0, 0],
    [0, 1, 0],
    [1, 0, 0],
];

fn in_every_state_of_ids_and_securebits_capabilities_are_those_of_execve() {
    let folder = scratch();
    let path = place(&folder);
    let mut states = Vec::new();
    for ids in IDS {
        for bits in [
            0,
            NOROOT,
            NO_SETUID_FIXUP,
            KEEP_CAPS_LOCKED,
            NO_CAP_AMBIENT_RAISE,
        ] {
            for keeps in [0, KEEP_CAPS] {
                for ambient in [false, true] {
                    for held in [vec![BIND], vec![BIND, SETPCAP], vec![]] {
                        states.push(State {
                            securebits: bits | keeps,
                            ambient: ambient && !held.is_empty(),
                            held,
                            ..State::new(ids)
                        });
                    }
                }
            }
        }
    }
    for ids in IDS {
        for no_new_privs in [false, true] {
            states.push(State {
                no_new_privs,
                file_group: Some(77),
                ..State::new(ids)
            });
        }
    }
    // Where a securebit forbids to keep the capabilities, it is refused.
    let (impossible, states): (Vec<_>, Vec<_>) = states.into_iter().partition(|state| {
        let locked = state.securebits & (KEEP_CAPS | KEEP_CAPS_LOCKED) == KEEP_CAPS_LOCKED;
        let unraised = state.securebits & NO_CAP_AMBIENT_RAISE != 0;
        let goes = state.ids[2] == 0 && !state.ids[..2].contains(&0);
        goes && state.ambient && (locked || unraised) && !state.held.contains(&SETPCAP)
    });
    for state in &impossible {
        let [kernel, ours] = outcomes(state, &path);
        let endings = (kernel.ending, ours.ending);
        assert_eq!(
            endings,
            (Ending::Exited(42), Ending::Refused(libc::EPERM)),
            "{state:?}"
        );
    }
    let same = compare_all(&states, &path);
    assert!(
        same > states.len() / 2 && !impossible.is_empty(),
        "{same} of {}",
        states.len()
    );
}

/// The attribute `security.capability`.
fn set_file_capabilities(path: &Path, effective: bool, permitted: &[u32], inheritable: &[u32]) {
    let words = [
        0x0200_0000 | u32::from(effective),
        mask(permitted) as u32,
        mask(inheritable) as u32,
        0,
        0,
    ];
    let bytes = words.map(u32::to_le_bytes);
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("it has no NUL");
    let value = bytes.as_flattened();
    let arguments = [
        path.as_ptr().addr() as u64,
        c"security.capability".as_ptr().addr() as u64,
        value.as_ptr().addr() as u64,
        value.len() as u64,
        0,
    ];
    if system_call(libc::SYS_setxattr, arguments).is_err() {
        ignore("a file system with capabilities");
    }
}

/// Whether they are effective, permitted, inheritable.
const FILES: [(bool, &[u32], &[u32]); 8] = [
    (true, &[], &[]),
    (false, &[], &[]),
    (true, &[BIND], &[]),
    (false, &[BIND], &[]),
    (true, &[], &[BIND]),
    (false, &[], &[BIND]),
    (true, &[RAW], &[]),
    (false, &[BIND, RAW], &[BIND]),
];

fn states_for_files() -> Vec<State> {
    let mut states = Vec::new();
    for ids in IDS {
        for ambient in [false, true] {
            for held in [vec![BIND], vec![BIND, RAW]] {
                for unbound in [vec![], vec![RAW]] {
                    states.push(State {
                        ambient,
                        held: held.clone(),
                        unbound,
                        ..State::new(ids)
                    });
                }
            }
        }
    }
    states
}

fn the_capabilities_of_files_are_honoured_as_by_execve() {
    let folder = scratch();
    let path = place(&folder);
    let states = states_for_files();
    let mut same = 0;
    for (effective, permitted, inheritable) in FILES {
        set_file_capabilities(&path, effective, permitted, inheritable);
        same += compare_all(&states, &path);
    }
    assert!(same > 0);
}

fn no_new_privs_takes_what_a_file_would_give() {
    let folder = scratch();
    let path = place(&folder);
    let strict = |state: State| State {
        no_new_privs: true,
        ..state
    };
    let states: Vec<_> = states_for_files().into_iter().map(strict).collect();
    for (effective, permitted, inheritable) in FILES {
        set_file_capabilities(&path, effective, permitted, inheritable);
        // Nothing is gained, so nothing is refused.
        assert_eq!(compare_all(&states, &path), states.len());
    }
}

fn user_0_that_would_regain_capabilities_has_the_personality_of_execve() {
    let folder = scratch();
    let path = place(&folder);
    for no_new_privs in [false, true] {
        for unbound in [vec![], vec![RAW]] {
            let state = State {
                unbound,
                no_new_privs,
                ..State::new([0; 3])
            };
            let call = state.call(&path).no_randomize();
            let personality = |outcome: Outcome| kept(outcome, &["personality"]).stdout;
            let kernel = personality(call.by_kernel());
            assert!(!kernel.is_empty());
            assert_eq!(personality(call.by_library()), kernel, "{state:?}");
        }
    }
}
