//! gdb's view of a program: from its first instruction, after attaching, and in its core file.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::session::{
    IN_INNER, QUIET, Running, Who, command, debug, expressions, frames, missing, open_to_all,
    output, path, paths,
};
use support::system::no_core_files;
use support::trials::trial;
use support::{builds, scratch, test_binaries};

const FLAVOURS: [&str; 6] = [
    "glibc-pie",
    "glibc-nopie",
    "glibc-static",
    "glibc-static-pie",
    "musl-pie",
    "musl-static",
];

type Test = fn(&Path, Who) -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let gdb = missing("gdb");
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
    trials
}

const LOOK: [&str; 7] = [
    "break inner",
    "continue",
    "bt",
    "info sharedlibrary",
    "info proc mappings",
    "finish",
    "stepi",
];

/// The same commands under gdb's own `run` show the same frames, libraries and mappings, and the same place after a step.
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

/// The function in the last line with an address.
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

/// gdb attaches whatever the exe link names.
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

/// `run --stop` stops some instructions before the first instruction of the program.
/// The name that gdb shows for the first instruction after a real exec: `None` if ld.so has no symbols (libc6-dbg).
fn name_of_start(program: &Path) -> Result<Option<&'static str>, Failed> {
    let mut gdb = command(Who::Caller, "gdb");
    gdb.args(QUIET).args(expressions(&["starti", "x/i $pc"]));
    let shown = output(gdb.arg(program))?;
    let names = ["<_start", "<_dlstart"];
    Ok(names.into_iter().find(|name| shown.contains(name)))
}

fn brought_to_entry(program: &Path, who: Who) -> Result<(), Failed> {
    let start = name_of_start(program)?;
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
        let at_start = start.is_none_or(|name| shown.contains(name));
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
