//! `supplant debug`, and debuggers and profilers at work on what `supplant run` started: what they see is what they see
//! after a real exec.

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed};
use support::refused::trial;
use support::system::no_core_files;
use support::{builds, is_root, scratch, test_binaries};

const FLAVOURS: [&str; 6] = [
    "glibc-pie",
    "glibc-nopie",
    "glibc-static",
    "glibc-static-pie",
    "musl-pie",
    "musl-static",
];
/// An ordinary user, for what root may and others may not.
const NOBODY: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(20);

type Test = fn(&Path, Who) -> Result<(), Failed>;

fn main() {
    let gdb = missing("gdb");
    let both = missing("gdbserver").or(gdb);
    let mut trials = Vec::new();
    for flavour in FLAVOURS {
        let program = test_binaries().join(flavour).join("frames");
        let lacking = gdb.or((!program.exists()).then_some("the test programs"));
        let mut add = |name: &str, lacking: Option<&'static str>, test: Test| {
            for who in Who::all() {
                let (program, name) = (program.clone(), format!("{name}_{flavour}_{who:?}"));
                trials.push(trial(name, lacking.or(who.missing()), move || {
                    test(&program, who)
                }));
            }
        };
        add("gdb_sees_what_it_sees_after_exec", lacking, sees_the_same);
        add("a_process_is_attached_to", lacking, attaches);
        add(
            "a_process_that_waits_is_brought_to_its_entry",
            lacking,
            brought_to_entry,
        );
        add(
            "a_core_file_is_opened_with_symbols",
            lacking.or_else(no_core_files),
            core_is_opened,
        );
    }
    trials.extend([
        trial("a_script_is_debugged_as_its_interpreter", gdb, script),
        trial("standard_input_is_the_programs", gdb, standard_input),
        trial(
            "the_program_ends_with_the_debugger",
            gdb,
            ends_with_debugger,
        ),
        trial("gdb_connects_to_gdbserver", both, remote),
        trial(
            "exec_wrapper_runs_the_program_without_stopping",
            gdb,
            exec_wrapper,
        ),
        trial("commands_are_printed_and_no_process_stays", None, commands),
        trial(
            "what_cannot_be_debugged_is_refused_in_one_line",
            None,
            refusals,
        ),
    ]);
    for who in Who::all() {
        let lacking = missing("perf")
            .or_else(|| may_profile(who))
            .or(who.missing());
        let name = format!("perf_knows_the_functions_{who:?}");
        trials.push(trial(name, lacking, move || profiled(who)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Who debugs.
#[derive(Clone, Copy, Debug)]
enum Who {
    Caller,
    Nobody,
}

impl Who {
    fn all() -> [Self; 2] {
        [Self::Caller, Self::Nobody]
    }

    /// What is missing to be this user.
    fn missing(self) -> Option<&'static str> {
        match self {
            Self::Caller => None,
            Self::Nobody if !is_root() => Some("root, to become another user"),
            Self::Nobody => {
                let reachable = command(self, &builds()[0])
                    .arg("--version")
                    .output()
                    .is_ok();
                (!reachable).then_some("a build that every user can reach")
            }
        }
    }
}

/// A program with a small environment, run by this user.
fn command(who: Who, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command.env("HOME", "/nonexistent").stdin(Stdio::null());
    if matches!(who, Who::Nobody) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The name of a program that is not installed.
fn missing(name: &'static str) -> Option<&'static str> {
    let mut version = Command::new(name);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_err().then_some(name)
}

fn expressions(commands: &[&str]) -> Vec<String> {
    commands
        .iter()
        .flat_map(|command| ["-ex", command])
        .map(str::to_owned)
        .collect()
}

const QUIET: [&str; 2] = ["-nx", "-batch"];

/// What `supplant debug` with these options and gdb print.
fn debug(who: Who, build: &Path, options: &[&str], program: &[&str], commands: &[&str]) -> Command {
    let mut command = command(who, build);
    command.arg("debug").args(options).args(program);
    command.arg("--").args(QUIET).args(expressions(commands));
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("plain")
}

/// The output within some time: a debugger that waits for a process would wait for ever.
fn output(command: &mut Command) -> Result<String, Failed> {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let waiting = thread::spawn(move || child.wait_with_output());
    let started = Instant::now();
    while !waiting.is_finished() {
        if started.elapsed() > PATIENCE {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
            let output = waiting.join().expect("no panic")?;
            return Err(format!("it did not end: {}", text(&output)).into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(text(&waiting.join().expect("no panic")?))
}

/// The functions of a backtrace, from `#0` on, of the last one that is printed.
fn frames(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix('#')?.split_once(' ')?.1.trim_start();
        let rest = rest.split_once(" in ").map_or(rest, |(_, rest)| rest);
        Some(rest.split(' ').next()?.to_owned())
    };
    let start = text.rfind("#0 ").unwrap_or(text.len());
    text[start..].lines().map_while(name).collect()
}

/// Paths at the ends of lines, each once: of libraries and mappings.
fn paths(text: &str) -> Vec<&str> {
    let last = text
        .lines()
        .filter_map(|line| line.split_whitespace().last());
    let mut paths: Vec<_> = last
        .filter(|word| word.starts_with('/') || word.starts_with('['))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

const IN_INNER: [&str; 4] = ["inner", "middle", "outer", "main"];
const LOOK: [&str; 7] = [
    "break inner",
    "continue",
    "bt",
    "info sharedlibrary",
    "info proc mappings",
    "finish",
    "stepi",
];

/// The same commands under gdb's own `run`: frames, libraries, mappings, and where a step leads.
fn sees_the_same(program: &Path, who: Who) -> Result<(), Failed> {
    let of_kernel = LOOK.map(|command| {
        if command == "continue" {
            "run"
        } else {
            command
        }
    });
    let mut gdb = command(who, "gdb");
    gdb.args(QUIET).args(expressions(&of_kernel)).arg(program);
    let kernel = output(&mut gdb)?;
    for build in builds() {
        let ours = output(&mut debug(who, &build, &[], &[path(program)], &LOOK))?;
        let seen = |text: &str| (frames(text), paths(text).join(" "), last_function(text));
        if !frames(&kernel).starts_with(&IN_INNER.map(str::to_owned))
            || seen(&ours) != seen(&kernel)
        {
            return Err(format!("kernel:\n{kernel}\nours:\n{ours}").into());
        }
    }
    Ok(())
}

/// The function that the last line with an address names.
fn last_function(text: &str) -> Option<String> {
    let in_function = text
        .lines()
        .rev()
        .find(|line| line.starts_with("0x") && line.contains(" in "));
    Some(
        in_function?
            .split_once(" in ")?
            .1
            .split(' ')
            .next()?
            .to_owned(),
    )
}

/// A program that `run` started, and its number.
struct Running(Child);

impl Running {
    fn new(who: Who, build: &Path, options: &[&str], program: &[&str]) -> Self {
        let mut command = command(who, build);
        command
            .arg("run")
            .args(options)
            .args(program)
            .stdout(Stdio::null());
        Self(command.spawn().expect("the command starts"))
    }

    fn subject(&self) -> String {
        format!("pid:{}", self.0.id())
    }

    /// Waits until it has used some hundredths of a second: it is past what the dynamic linker does.
    fn until_it_has_run(&self) {
        const USER_TIME: usize = 14;
        const FIRST: usize = 3;
        let started = Instant::now();
        let ticks = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
            let fields = stat.rsplit_once(") ")?.1;
            let field = fields.split(' ').nth(USER_TIME - FIRST)?;
            field.parse::<u64>().ok()
        };
        while ticks().is_none_or(|ticks| ticks < 5) {
            assert!(started.elapsed() < PATIENCE, "it never runs");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it is stopped, or has the name.
    fn until(&self, what: &str) {
        let started = Instant::now();
        let status = || fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        while !status().is_ok_and(|status| status.contains(what)) {
            assert!(started.elapsed() < PATIENCE, "never {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whatever the exe link names.
fn attaches(program: &Path, who: Who) -> Result<(), Failed> {
    for build in builds() {
        let running = Running::new(who, &build, &[], &[path(program), "loop"]);
        running.until("Name:\tframes");
        running.until_it_has_run();
        let shown = output(&mut debug(who, &build, &[], &[&running.subject()], &["bt"]))?;
        if !frames(&shown).starts_with(&IN_INNER.map(str::to_owned)) {
            return Err(shown.into());
        }
    }
    Ok(())
}

/// `run --stop` waits some instructions before the first of the program.
fn brought_to_entry(program: &Path, who: Who) -> Result<(), Failed> {
    for build in builds() {
        let running = Running::new(who, &build, &["--stop"], &[path(program)]);
        running.until("State:\tT");
        let commands = ["x/i $pc", "break inner", "continue", "bt"];
        let shown = output(&mut debug(
            who,
            &build,
            &[],
            &[&running.subject()],
            &commands,
        ))?;
        let at_start = shown.contains("<_start") || shown.contains("<_dlstart");
        if !at_start || !frames(&shown).starts_with(&IN_INNER.map(str::to_owned)) {
            return Err(shown.into());
        }
    }
    Ok(())
}

fn core_is_opened(program: &Path, who: Who) -> Result<(), Failed> {
    for build in builds() {
        let directory = scratch();
        open_to_all(directory.path())?;
        let mut run = command(who, "sh");
        let script = "ulimit -c unlimited; exec \"$@\"";
        run.args(["-c", script, "sh"])
            .arg(&build)
            .arg("run")
            .arg(program)
            .arg("crash");
        output(run.current_dir(&directory))?;
        let core = fs::read_dir(&directory)?
            .flatten()
            .next()
            .ok_or("no core file")?
            .path();
        let mut gdb = Command::new("gdb");
        gdb.args(QUIET)
            .args(expressions(&["bt"]))
            .arg(program)
            .arg(core);
        let shown = output(&mut gdb)?;
        if !frames(&shown).starts_with(&IN_INNER.map(str::to_owned)) {
            return Err(shown.into());
        }
    }
    Ok(())
}

fn open_to_all(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777))
}

fn contains(shown: &str, wanted: &[&str]) -> Result<(), Failed> {
    match wanted.iter().find(|wanted| !shown.contains(**wanted)) {
        None => Ok(()),
        Some(lacking) => Err(format!("no {lacking:?} in:\n{shown}").into()),
    }
}

fn script() -> Result<(), Failed> {
    let directory = scratch();
    let script =
        support::alike::script(&directory, "script", "#!/bin/sh\necho from the script $1\n");
    for build in builds() {
        let commands = ["info files", "continue"];
        let shown = output(&mut debug(
            Who::Caller,
            &build,
            &[],
            &[path(&script), "one"],
            &commands,
        ))?;
        let shell = fs::canonicalize("/bin/sh")?;
        contains(
            &shown,
            &[path(&shell), "from the script one", "exited normally"],
        )?;
    }
    Ok(())
}

/// A file, which the program reads to its end, and gdb none of it.
fn standard_input() -> Result<(), Failed> {
    let directory = scratch();
    let file = directory.path().join("input");
    fs::write(&file, "print 41+1\nthe last line\n")?;
    for build in builds() {
        let mut debug = debug(Who::Caller, &build, &[], &["/bin/cat"], &["continue"]);
        let shown = output(debug.stdin(File::open(&file)?))?;
        contains(&shown, &["print 41+1\nthe last line\n", "exited normally"])?;
        if shown.contains("= 42") {
            return Err(shown.into());
        }
    }
    Ok(())
}

/// The number that gdb tells in "process N".
fn process_in(shown: &str) -> Option<u32> {
    let digits = shown.split("process ").nth(1)?;
    digits
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn is_gone(pid: u32) -> bool {
    let started = Instant::now();
    let runs = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| !status.contains("State:\tZ"))
    };
    while runs() {
        if started.elapsed() > Duration::from_secs(5) {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

fn ends_with_debugger() -> Result<(), Failed> {
    for build in builds() {
        let commands = ["info proc"];
        let shown = output(&mut debug(
            Who::Caller,
            &build,
            &[],
            &["/bin/sleep", "60"],
            &commands,
        ))?;
        let pid = process_in(&shown).ok_or_else(|| shown.clone())?;
        if !is_gone(pid) {
            return Err(format!("{pid} lives: {shown}").into());
        }
    }
    Ok(())
}

/// gdb is told what gdbserver's side prints.
fn remote() -> Result<(), Failed> {
    let program = test_binaries().join("glibc-pie/frames");
    for build in builds() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let address = port.to_string();
        let mut server = command(Who::Caller, &build);
        server
            .args(["debug", "--gdbserver", &address])
            .arg(&program);
        let server = Running(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let mut printed = command(Who::Caller, &build);
        printed
            .args(["debug", "--commands", "--gdbserver", &address])
            .arg(&program);
        let told = output(&mut printed)?;
        let directory = scratch();
        let script = directory.path().join("script");
        write!(File::create(&script)?, "{told}")?;
        listens(port.port())?;
        let mut gdb = command(Who::Caller, "gdb");
        gdb.args(QUIET).arg("-x").arg(&script);
        gdb.args(expressions(&[
            "break inner",
            "continue",
            "bt",
            "info sharedlibrary",
            "kill",
        ]));
        let shown = output(&mut gdb)?;
        drop(server);
        contains(&shown, &["libc.so"])?;
        if !frames(&shown).starts_with(&IN_INNER.map(str::to_owned)) {
            return Err(shown.into());
        }
    }
    Ok(())
}

/// Waits for a listener without connecting, which would be the only connection.
fn listens(port: u16) -> Result<(), Failed> {
    const LISTEN: &str = " 0A ";
    let wanted = format!(":{port:04X} ");
    let started = Instant::now();
    let is_there = |table: &str| {
        table
            .lines()
            .any(|line| line.contains(&wanted) && line.contains(LISTEN))
    };
    while !["tcp", "tcp6"].iter().any(|name| {
        fs::read_to_string(format!("/proc/net/{name}")).is_ok_and(|table| is_there(&table))
    }) {
        if started.elapsed() > PATIENCE {
            return Err("gdbserver does not listen".into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// gdb waits for one exec more than there is, so that it sets no breakpoint: what docs/debugging.md says.
fn exec_wrapper() -> Result<(), Failed> {
    let program = test_binaries().join("glibc-pie/frames");
    for build in builds() {
        let wrapper = format!("set exec-wrapper {} run", path(&build));
        let mut gdb = command(Who::Caller, "gdb");
        gdb.args(QUIET)
            .args(expressions(&[&wrapper, "break inner", "run"]))
            .arg(&program);
        contains(
            &output(&mut gdb)?,
            &["During startup program exited with code 42"],
        )?;
    }
    Ok(())
}

fn commands() -> Result<(), Failed> {
    for build in builds() {
        let mut printed = command(Who::Caller, &build);
        let shown = output(printed.args(["debug", "--commands", "/bin/sleep", "60"]))?;
        let sleep = fs::canonicalize("/bin/sleep")?;
        contains(&shown, &[&format!("file \"{}\"\nattach ", path(&sleep))])?;
        let pid = shown
            .trim_end()
            .rsplit(' ')
            .next()
            .and_then(|digits| digits.parse().ok());
        if !pid.is_some_and(is_gone) {
            return Err(format!("a process stays: {shown}").into());
        }
        let running = Running::new(Who::Caller, &build, &[], &["/bin/sleep", "60"]);
        running.until("Name:\tsleep");
        let mut printed = command(Who::Caller, &build);
        let shown = output(printed.args(["debug", "--commands", &running.subject()]))?;
        contains(&shown, &[&format!("attach {}\n", running.0.id())])?;
    }
    Ok(())
}

fn refusals() -> Result<(), Failed> {
    let cases: [(&[&str], i32); 12] = [
        (&["/nonexistent"], 127),
        (&["/etc/passwd"], 126),
        (&["/"], 126),
        (&["pid:0"], 126),
        (&["pid:x"], 126),
        (&["pid:99999999999999999999"], 126),
        (&["pid:4194999"], 126),
        (&["pid:2"], 126),
        (&["pid:1", "argument"], 126),
        (&["--base", "0x1", "/bin/true"], 126),
        (&["--layout-from", "core:/dev/null", "/bin/true"], 125),
        (&["--debugger", "/nonexistent", "/bin/true"], 127),
    ];
    for build in builds() {
        for (words, status) in cases {
            let mut debug = command(Who::Caller, &build);
            let outcome = debug.arg("debug").args(words).output()?;
            let shown = text(&outcome);
            let lines = shown.lines().count();
            if outcome.status.code() != Some(status)
                || lines != 1
                || !shown.starts_with("supplant: ")
            {
                return Err(format!("{words:?}: {} {shown}", outcome.status).into());
            }
        }
    }
    Ok(())
}

/// What keeps this user from profiling.
fn may_profile(who: Who) -> Option<&'static str> {
    let directory = scratch();
    open_to_all(directory.path()).ok()?;
    let mut perf = command(who, "perf");
    perf.args(["record", "-q", "-o", "data", "true"])
        .current_dir(&directory);
    let recorded = perf.output().is_ok_and(|output| output.status.success());
    (!recorded).then_some("permission to use perf_event_open(2)")
}

/// perf begins to count when its child execs: the command. What it runs then is known by its own name and functions.
fn profiled(who: Who) -> Result<(), Failed> {
    let program = test_binaries().join("glibc-pie/frames");
    for build in builds() {
        let directory = scratch();
        open_to_all(directory.path())?;
        let mut perf = command(who, "perf");
        perf.args(["record", "-q", "-o", "data"])
            .arg(&build)
            .arg("run")
            .arg(&program)
            .arg("spin");
        output(perf.current_dir(&directory))?;
        let mut report = command(who, "perf");
        report.args([
            "report",
            "-i",
            "data",
            "--stdio",
            "--sort",
            "comm,dso,symbol",
        ]);
        let shown = output(report.current_dir(&directory))?;
        let is_inner = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            ["frames", "inner"]
                .iter()
                .all(|wanted| words.contains(wanted))
        };
        if !shown.lines().any(is_inner) {
            return Err(shown.into());
        }
    }
    Ok(())
}
