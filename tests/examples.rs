//! The library's examples, each run as its header comment says, and compared with the kernel if the kernel does the same.

use std::env;
use std::path::PathBuf;

use libtest_mimic::{Arguments, Failed, Trial};

use support::alike::script;
use support::interposed::ended;
use support::refused::file;
use support::trials::trial;
use support::{Call, Ending, Outcome, scratch};

/// Tests the example of this name.
type Run = fn(&str) -> Result<(), Failed>;

fn main() {
    let trials: [(&str, Run); 6] = [
        ("exec", exec_keeps_the_process_and_gives_the_programs_status),
        ("pipes", pipes_give_what_the_shells_give),
        (
            "from_memory",
            the_program_from_memory_runs_by_the_kernel_too,
        ),
        ("hundred", a_hundred_children_end_each_in_its_own_way),
        ("bss_end", bss_and_heap_are_where_the_kernel_puts_them),
        ("tiny_shell", the_tiny_shell_does_what_sh_does),
    ];
    let trials = trials.map(|(name, run)| {
        let missing = "`cargo build --workspace --examples`";
        let missing = (!path(name).exists()).then_some(missing);
        trial(format!("example_{name}"), missing, move || run(name))
    });
    let trials: Vec<Trial> = trials.into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Where cargo puts examples: next to the directory of the tests.
fn path(name: &str) -> PathBuf {
    let mut path = env::current_exe().expect("it runs");
    path.pop();
    path.set_file_name("examples");
    path.join(name)
}

fn example(name: &str) -> Call {
    Call::new(path(name)).envp(["PATH=/usr/bin:/bin"])
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

fn exec_keeps_the_process_and_gives_the_programs_status(name: &str) -> Result<(), Failed> {
    let outcome = example(name)
        .args(["sh", "-c", "echo process $$; exit 3"])
        .by_kernel();
    ended(&outcome, Ending::Exited(3))?;
    let text = stdout(&outcome);
    let pids = text.lines().map(|line| line.split(' ').nth(1));
    let pids: Vec<_> = pids.collect();
    assert!(pids.len() == 2 && pids[0] == pids[1], "{text}");
    ended(&example(name).by_kernel(), Ending::Exited(0))?;
    for (path, errno, status) in [
        ("/nonexistent", libc::ENOENT, 127),
        ("/", libc::EACCES, 126),
    ] {
        assert_eq!(Call::new(path).by_kernel().ending, Ending::Refused(errno));
        let outcome = example(name).args([path]).by_kernel();
        ended(&outcome, Ending::Exited(status))?;
        assert!(
            outcome
                .stderr
                .starts_with(format!("exec: {path}: ").as_bytes())
        );
    }
    Ok(())
}

fn pipes_give_what_the_shells_give(name: &str) -> Result<(), Failed> {
    let words = ["to", "be", "or", "not", "to", "be"];
    let ours = example(name).args(words).by_kernel();
    let shells = Call::new("/bin/sh")
        .args(["-c", "printf '%s\\n' \"$@\" | sort | uniq -c", "sh"])
        .args(words)
        .envp(["PATH=/usr/bin:/bin"])
        .by_kernel();
    ended(&shells, Ending::Exited(0))?;
    assert_eq!(ours, shells);
    let nowhere = example(name).envp(["PATH=/nonexistent"]).by_kernel();
    assert_eq!(nowhere.stderr, b"pipes: sort: no such file\n");
    ended(&nowhere, Ending::Exited(1))
}

fn the_program_from_memory_runs_by_the_kernel_too(name: &str) -> Result<(), Failed> {
    let directory = scratch();
    let saved = directory.path().join("hello");
    let outcome = example(name).args([&saved]).by_kernel();
    ended(&outcome, Ending::Exited(0))?;
    let (kernel, ours) = (Call::new(&saved).by_kernel(), example(name).by_kernel());
    ended(&kernel, Ending::Exited(42))?;
    assert_eq!((&ours, &*ours.stdout), (&kernel, &b"hello\n"[..]));
    let refused = example(name).args(["/nonexistent/hello"]).by_kernel();
    ended(&refused, Ending::Exited(1))
}

fn a_hundred_children_end_each_in_its_own_way(name: &str) -> Result<(), Failed> {
    let ends = |call: &Call| -> Result<String, Failed> {
        let outcome = call.by_kernel();
        ended(&outcome, Ending::Exited(0))?;
        let text = stdout(&outcome);
        let (first, ends) = text.split_once('\n').ok_or("no line")?;
        assert!(first.starts_with("100 processes of one preparation in "));
        Ok(ends.to_owned())
    };
    let quarters =
        "  25 exit status: 0\n  25 exit status: 1\n  25 exit status: 2\n  25 exit status: 3\n";
    assert_eq!(ends(&example(name))?, quarters);
    let killed = example(name).args(["test $0 -lt 50 || kill -9 $$"]);
    assert_eq!(
        ends(&killed)?,
        "  50 exit status: 0\n  50 signal: 9 (SIGKILL)\n"
    );
    Ok(())
}

/// A shell started by the kernel prints its layout, which is the same each time without randomisation.
fn bss_and_heap_are_where_the_kernel_puts_them(name: &str) -> Result<(), Failed> {
    const TELL: &str = "read -r line </proc/self/stat; echo \"$line\"; \
                        while read -r line; do echo \"$line\"; done </proc/self/maps";
    let kernel = Call::new("/bin/sh")
        .args(["-c", TELL])
        .no_randomize()
        .by_kernel();
    let told = stdout(&kernel);
    let (stat, maps) = told.split_once('\n').ok_or("no line")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no name")?;
    // Field 47 is start_brk; the first field after the name is field 3.
    let heap: u64 = fields.split(' ').nth(44).ok_or("no heap")?.parse()?;
    let outcome = example(name).args(["/bin/sh"]).no_randomize().by_kernel();
    ended(&outcome, Ending::Exited(0))?;
    assert!(
        outcome.has(&format!("the heap starts at {heap:x}")),
        "{outcome:?}\n{told}"
    );
    let text = stdout(&outcome);
    assert!(text.contains("bss is "), "{text}");
    for range in text
        .lines()
        .filter_map(|line| line.strip_suffix(" pages of zeros"))
    {
        let (start, end) = range.trim().split_once("..").ok_or("no range")?;
        // The heap may follow these pages, and both are then one mapping.
        let mapping = maps
            .lines()
            .find(|line| line.starts_with(&format!("{start}-")));
        let mapping = mapping.ok_or_else(|| format!("nothing at {start}:\n{maps}"))?;
        let mapped = mapping.split(['-', ' ']).nth(1).ok_or("no end")?;
        assert!(
            u64::from_str_radix(mapped, 16)? >= u64::from_str_radix(end, 16)?,
            "{mapping}"
        );
        assert!(mapping.contains(" rw-p 00000000 00:00 0"), "{mapping}");
    }
    for path in ["/nonexistent", "/", "/dev/null"] {
        ended(&example(name).args([path]).by_kernel(), Ending::Exited(1))?;
    }
    Ok(())
}

fn the_tiny_shell_does_what_sh_does(name: &str) -> Result<(), Failed> {
    let directory = scratch();
    let dies = script(&directory, "dies", "#!/bin/sh\nkill -9 $$\n");
    let text = file(directory.path().join("text"), "no program", 0o644);
    let (dies, text) = (dies.display(), text.display());
    for commands in [
        "echo one  two\n\ncd /\npwd\nfalse\n".to_owned(),
        "true\nexit 300\necho never\n".to_owned(),
        "false\nexit\n".to_owned(),
        "/nonexistent\n".to_owned(),
        format!("{text}\n"),
        format!("{dies}\n"),
        format!("{dies}\necho goes on\n"),
        String::new(),
    ] {
        let by = |call: Call| call.stdin(&commands).by_kernel();
        let (ours, shells) = (
            by(example(name)),
            by(Call::new("/bin/sh").envp(["PATH=/usr/bin:/bin"])),
        );
        assert_eq!(
            (stdout(&ours), ours.ending),
            (stdout(&shells), shells.ending),
            "{commands}"
        );
    }
    let reads_on = example(name).stdin("cat\nthis is for cat\n").by_kernel();
    assert_eq!(stdout(&reads_on), "this is for cat\n");
    tells_the_lesson(name)
}

/// Both returns of one fork, each with its PID, and how the child ended.
fn tells_the_lesson(name: &str) -> Result<(), Failed> {
    let outcome = example(name).stdin("sh\nexit 3\n").by_kernel();
    ended(&outcome, Ending::Exited(3))?;
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let child = said
        .lines()
        .find_map(|line| line.strip_suffix("] fork returned 0, exec sh"));
    let child = child
        .and_then(|line| line.strip_prefix('['))
        .ok_or("no child")?;
    let parent = said
        .lines()
        .find_map(|line| line.strip_suffix(&format!("] fork returned {child}")));
    let parent = parent.ok_or_else(|| format!("no parent: {said}"))?;
    assert!(
        said.ends_with(&format!("{parent}] wait: {child} exited, status 3\n")),
        "{said}"
    );
    Ok(())
}
