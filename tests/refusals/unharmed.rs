//! After a rejected exec, the caller continues unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use nix::sys::resource::Resource;
use support::elf::Elf;
use support::refused::{expect, file, program};
use support::system::{address, block, set_action, system_call};
use support::trials::trial;
use support::{Call, Ending, scratch};

const REFUSALS: usize = 200;
/// The least number of different errnos.
const KINDS: usize = 9;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_caller_of_200_refused_calls_is_as_it_was", None, || {
            unharmed(false)
        }),
        trial(
            "the_caller_of_200_refused_calls_with_a_full_table_is_as_it_was",
            None,
            || unharmed(true),
        ),
    ]
}

/// A child compares its state before and after; at the end it calls a program that runs.
fn unharmed(crowded: bool) -> Result<(), Failed> {
    let at = scratch();
    let paths = refused_paths(at.path());
    let program = program(at.path().join("program"), 0o755);
    let call = Call::new(program).setup(move || {
        settle()?;
        if crowded {
            crowd()?;
        }
        refuse(&paths, 2 * paths.len());
        let before = State::now()?;
        let errnos = refuse(&paths, REFUSALS);
        let after = State::now()?;
        let mut errors = io::stderr().lock();
        if before != after {
            writeln!(errors, "before {before:#?}\nafter {after:#?}")?;
        }
        let kinds = errnos.iter().collect::<BTreeSet<_>>();
        if kinds.len() < KINDS || kinds.contains(&libc::EBUSY) {
            writeln!(errors, "errors: {errnos:?}")?;
        }
        Ok(())
    });
    for outcome in [call.by_kernel(), call.by_library()] {
        expect(&outcome, Ending::Exited(42))?;
        if !outcome.stderr.is_empty() {
            return Err(String::from_utf8_lossy(&outcome.stderr).into_owned().into());
        }
    }
    Ok(())
}

/// Files that are each rejected at another point, the last ones after all planning.
fn refused_paths(at: &Path) -> Vec<PathBuf> {
    let path = |name: &str| at.join(name);
    let elf = |name: &str, change: fn(&mut Elf)| {
        file(path(name), Elf::standard().with(change).to_bytes(), 0o755)
    };
    let text = file(path("text"), "text", 0o755);
    let own = path("itself");
    let interpreted = |name: &str, interpreter: &Path| {
        let elf = Elf::standard().with_interpreter(interpreter);
        file(path(name), elf.to_bytes(), 0o755)
    };
    vec![
        path("nothing"),
        path("text/x"),
        at.to_owned(),
        file(path("plain"), "text", 0o644),
        file(path("empty"), "", 0o755),
        file(path("script"), format!("#!{}\n", text.display()), 0o755),
        file(path("orphan"), "#!/nonexistent\n", 0o755),
        file(path("itself"), format!("#!{}\n", own.display()), 0o755),
        elf("machine", |elf| elf.header.machine = 0xffff),
        elf("phnum", |elf| elf.header.phnum = Some(0)),
        interpreted("of-nothing", Path::new("/nonexistent")),
        interpreted("of-text", &text),
        elf("misaligned", |elf| elf.load(1).vaddr += 8),
        elf("kernel-address", |elf| elf.load(1).vaddr = 1 << 63),
        elf("file-larger", |elf| {
            elf.load(1).file_size = 2 * elf.load(1).memory_size;
        }),
        elf("too-large", |elf| elf.load(1).memory_size = 1 << 60),
        elf("page-zero", |elf| elf.load(0).vaddr = 0),
        elf("entry", |elf| elf.header.entry = u64::MAX),
        text,
    ]
}

/// The errnos of this many calls; one call in four has long arguments, and one in four has an argument that is too long.
fn refuse(paths: &[PathBuf], count: usize) -> Vec<i32> {
    let calls = paths.iter().cycle().take(count).enumerate();
    calls
        .map(|(number, path)| {
            let mut command = supplant_loader::Command::new(path);
            match number % 4 {
                0 => command.args(["x".repeat(100_000), "y".repeat(100_000)]),
                1 => command.arg("x".repeat(131_072)),
                2 => command.env_clear(),
                _ => command.no_randomize(true),
            };
            command.exec().raw_os_error()
        })
        .collect()
}

/// Sets up some of each kind of state that an exec would change.
fn settle() -> io::Result<()> {
    block(&[libc::SIGUSR1, libc::SIGTERM])?;
    set_action(libc::SIGUSR2, [0, 0, 0, 0])?;
    set_action(libc::SIGHUP, [1, 0, 0, 0])?;
    // A handler that is never called needs only an address.
    set_action(libc::SIGWINCH, [0x1000, 0x0400_0000, 0x2000, 5])?;
    let mut stack: Vec<u8> = vec![0; 65536];
    let alternate = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.len(),
    };
    std::mem::forget(stack);
    system_call(libc::SYS_sigaltstack, [address(&alternate), 0])?;
    // One descriptor with close-on-exec, and one without.
    std::mem::forget(fs::File::open("/dev/null")?);
    system_call(libc::SYS_dup, [0])?;
    Ok(())
}

/// Opens descriptors up to a limit, except a handful.
fn crowd() -> io::Result<()> {
    let limit: [u64; 2] = [64, 64];
    let resource = Resource::RLIMIT_NOFILE as u64;
    system_call(libc::SYS_setrlimit, [resource, address(&limit)])?;
    while system_call(libc::SYS_dup, [0])? < 57 {}
    Ok(())
}

/// What a process can report about itself.
#[derive(Debug, PartialEq)]
struct State {
    maps: Vec<String>,
    descriptors: BTreeMap<PathBuf, PathBuf>,
    status: Vec<String>,
    personal: Vec<Vec<u8>>,
    actions: Vec<[u64; 4]>,
    alternate_stack: [u64; 3],
}

impl State {
    fn now() -> io::Result<Self> {
        Ok(Self {
            maps: maps()?,
            descriptors: descriptors()?,
            status: status()?,
            personal: [
                "comm",
                "personality",
                "timerslack_ns",
                "limits",
                "cmdline",
                "auxv",
            ]
            .map(|name| fs::read(format!("/proc/self/{name}")).unwrap_or_default())
            .into(),
            actions: (1..=64).map(action).collect(),
            alternate_stack: alternate_stack()?,
        })
    }
}

/// Without the heap, which may grow, and the sizes of the parts of the C library's other heaps.
fn maps() -> io::Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/maps")?;
    let lines = text.lines().filter(|line| !line.ends_with("[heap]"));
    Ok(lines.map(str::to_owned).collect())
}

fn descriptors() -> io::Result<BTreeMap<PathBuf, PathBuf>> {
    let entries = fs::read_dir("/proc/self/fd")?.flatten();
    let links = entries.filter_map(|entry| Some((entry.path(), fs::read_link(entry.path()).ok()?)));
    let own = |link: &PathBuf| link.starts_with("/proc") && link.ends_with("fd");
    Ok(links.filter(|(_, link)| !own(link)).collect())
}

/// Without the counters.
fn status() -> io::Result<Vec<String>> {
    const COUNTERS: [&str; 6] = ["Vm", "Rss", "voluntary", "nonvoluntary", "Hugetlb", "State"];
    let text = fs::read_to_string("/proc/self/status")?;
    let lines = text.lines();
    let kept = lines.filter(|line| !COUNTERS.iter().any(|counter| line.starts_with(counter)));
    Ok(kept.map(str::to_owned).collect())
}

fn action(signal: u64) -> [u64; 4] {
    let mut action = [0_u64; 4];
    let place = (&raw mut action).addr() as u64;
    // The C library hides its signals 32 and 33; the system call itself does not.
    let _ = system_call(libc::SYS_rt_sigaction, [signal, 0, place, 8]);
    action
}

/// Address, flags and size.
fn alternate_stack() -> io::Result<[u64; 3]> {
    let mut words = [0_u64; 3];
    let place = (&raw mut words).addr() as u64;
    system_call(libc::SYS_sigaltstack, [0, place])?;
    Ok(words)
}
