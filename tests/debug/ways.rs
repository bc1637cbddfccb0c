//! The ways to debug: scripts, standard input, gdbserver, printed commands; how sessions end; and refusals.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::session::{
    IN_INNER, PATIENCE, QUIET, Running, Who, command, contains, debug, expressions, frames,
    missing, output, path, text,
};
use support::trials::trial;
use support::{alike, builds, scratch, test_binaries};

pub fn trials() -> Vec<Trial> {
    let gdb = missing("gdb");
    let both = missing("gdbserver").or(gdb);
    vec![
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
    ]
}

fn script() -> Result<(), Failed> {
    let directory = scratch();
    let script = alike::script(&directory, "script", "#!/bin/sh\necho from the script $1\n");
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

/// The standard input is a file. The program reads it to its end, and gdb reads nothing of it.
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

/// The PID that gdb prints in "process N".
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

/// gdb runs the commands that are printed for the gdbserver.
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

/// Waits for a listener without connecting: the listener accepts only one connection.
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

/// gdb waits for one exec more than there is, so it sets no breakpoint, as docs/debugging.md says.
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
