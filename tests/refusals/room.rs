//! How much room the strings may take, exact to the byte (E-11 to E-15, E-20 to E-25).
//!
//! A text file shows the limit without running anything: it is rejected with E2BIG or, later, with ENOEXEC.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use libtest_mimic::{Failed, Trial};
use nix::sys::resource::Resource::RLIMIT_STACK;

use support::refused::{all, expect, file, program, same, same_by_all};
use support::trials::trial;
use support::{Call, Ending, scratch};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Values of `RLIMIT_STACK`: for some the sum of strings and pointers is limited, for others the stack.
const STACKS: [(&str, u64); 14] = [
    ("unlimited", u64::MAX),
    ("64_mib", 64 * MIB),
    ("24_mib_and_a_bit", 24 * MIB + 20),
    ("16_mib", 16 * MIB),
    ("8_mib", 8 * MIB),
    ("1_mib", MIB),
    ("1_mib_less_a_bit", MIB - 30),
    ("512_kib", 512 * KIB),
    ("256_kib", 256 * KIB),
    ("128_kib", 128 * KIB),
    ("64_kib", 64 * KIB),
    ("8_kib", 8 * KIB),
    ("4_kib", 4 * KIB),
    ("nothing", 0),
];

/// What fills the room: a name, a function, and the bytes that each piece takes, including its pointer.
type Fill = (&'static str, fn(Call, u64) -> Call, u64);

const LONG_VARIABLES: Fill = ("long_variables", long_variables, 1);
const EMPTY_ARGUMENTS: Fill = (
    "empty_arguments",
    |call, count| call.args(vec![""; count as usize]),
    9,
);
const SHORT_VARIABLES: Fill = (
    "short_variables",
    |call, count| call.envp((0..count).map(|n| format!("{n:06}="))),
    16,
);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, stack) in STACKS {
        // Many pieces take a long time and show nothing new.
        let many = [64 * KIB, 256 * KIB].contains(&stack);
        let fills = [EMPTY_ARGUMENTS, SHORT_VARIABLES]
            .into_iter()
            .filter(|_| many);
        for (fill_name, fill, piece) in fills.chain([LONG_VARIABLES]) {
            let name = format!("room_in_a_stack_of_{name}_for_{fill_name}");
            trials.push(trial(name, None, move || {
                off_the_main_stack(|| room(stack, fill, piece))
            }));
        }
    }
    for (name, stack) in STACKS.into_iter().filter(|(_, stack)| *stack <= 64 * KIB) {
        trials.push(trial(
            format!("death_in_a_stack_of_{name}"),
            None,
            move || off_the_main_stack(|| death(stack)),
        ));
    }
    trials.push(trial("the_path_takes_room", None, || {
        off_the_main_stack(the_path)
    }));
    trials.push(trial("one_string_of_32_pages", None, one_string));
    trials.push(trial("rewriting_a_script_takes_room", None, || {
        off_the_main_stack(rewriting)
    }));
    trials.push(trial("rewriting_nested_scripts_takes_room", None, || {
        off_the_main_stack(nested)
    }));
    trials
}

/// The limit under test applies to the main stack, also in a forked child, but not to a thread's stack.
fn off_the_main_stack(run: impl FnOnce() -> Result<(), Failed> + Send) -> Result<(), Failed> {
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Variables with this many bytes in all: 100000 bytes each, except the last; a variable has at least three.
fn long_variables(call: Call, size: u64) -> Call {
    const LONGEST: u64 = 100_000;
    let mut rest = size;
    let mut envp = Vec::new();
    while rest > 0 {
        let now = if rest > LONGEST + 10 { LONGEST } else { rest };
        let filling = "x".repeat((now as usize).saturating_sub(5));
        envp.push(format!("{:03}={filling}", envp.len()));
        rest -= now;
    }
    call.envp(envp)
}

/// The first number in the range for which the condition is true; it is false before and true after.
fn first(range: Range<u64>, is: impl Fn(u64) -> bool) -> u64 {
    let (mut start, mut end) = (range.start, range.end);
    while start < end {
        let middle = start.midpoint(end);
        if is(middle) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    start
}

/// The first size, or count of pieces of this size, that is too big for the kernel.
fn too_big(call: impl Fn(u64) -> Call, piece: u64) -> Result<u64, Failed> {
    let most = if piece == 1 { 7 * MIB } else { 140 * KIB };
    let range = 10..most / piece;
    let refused = |size| call(size).by_kernel().ending == Ending::Refused(libc::E2BIG);
    if refused(range.start) || !refused(range.end) {
        return Err("no limit found".into());
    }
    Ok(first(range, refused))
}

/// Sizes around these sizes, without those that are too small.
fn around(sizes: &[u64]) -> Vec<u64> {
    let steps = [-4096, -16, -8, -1, 0, 1, 8, 4096];
    let mut all: Vec<_> = sizes
        .iter()
        .flat_map(|size| steps.map(|step| size.saturating_add_signed(step)))
        .filter(|&size| size >= 10)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let at = scratch();
    let text = file(at.path().join("text"), "text", 0o755);
    let program = program(at.path().join("prog"), 0o755);
    (at, text, program)
}

fn same_around(sizes: &[u64], call: impl Fn(u64) -> Call) -> Result<(), Failed> {
    all(around(sizes)
        .into_iter()
        .map(|size| (size, same(&call(size)))))
}

fn room(stack: u64, fill: fn(Call, u64) -> Call, piece: u64) -> Result<(), Failed> {
    let (_at, text, program) = files();
    // Randomisation would change the stack pointer, and some stacks are just large enough.
    let call = |path: &Path, size| {
        fill(Call::new(path), size)
            .limit(RLIMIT_STACK, stack)
            .no_randomize()
    };
    let end = too_big(|size| call(&text, size), piece)?;
    same_around(&[end], |size| call(&text, size))?;
    same_around(&[end], |size| call(&program, size))
}

/// Strings that fit may leave no room for the data below them: execve then kills the process.
fn death(stack: u64) -> Result<(), Failed> {
    let (_at, text, program) = files();
    let call = |path: &Path, size| {
        long_variables(Call::new(path), size)
            .limit(RLIMIT_STACK, stack)
            .no_randomize()
    };
    let end = too_big(|size| call(&text, size), 1)?;
    let killed = |size| call(&program, size).by_kernel().ending != Ending::Exited(42);
    let death = first(10..end, killed);
    same_around(&[death, end], |size| call(&program, size))?;
    expect(
        &same(&call(&program, end - 1))?,
        Ending::Killed(libc::SIGSEGV),
    )
}

fn the_path() -> Result<(), Failed> {
    let (at, ..) = files();
    let directory = at.path().display().to_string();
    for slashes in [1, 2, 1000, 4000] {
        let path = format!("{directory}{}text", "/".repeat(slashes));
        let call = |size| long_variables(Call::new(&path), size).limit(RLIMIT_STACK, MIB);
        same_around(&[too_big(call, 1)?], call)?;
    }
    Ok(())
}

fn one_string() -> Result<(), Failed> {
    let (_at, text, program) = files();
    let string = |size: usize| "x".repeat(size);
    let calls = [131_070, 131_071, 131_072, 131_073, 200_000]
        .into_iter()
        .flat_map(|size| {
            let program = Call::new(&program);
            [
                ("argument", program.clone().args([string(size)])),
                (
                    "second argument",
                    program.clone().args(["a".to_owned(), string(size)]),
                ),
                ("argv[0]", program.clone().argv([string(size)])),
                (
                    "variable",
                    program.envp([format!("A={}", string(size - 2))]),
                ),
                ("argument of text", Call::new(&text).args([string(size)])),
            ]
            .map(|(name, call)| (format!("{name} of {size}"), call))
        });
    all(calls.map(|(name, call)| (name, same(&call))))?;
    let longest = Call::new(&program).args([string(131_071)]);
    expect(&same_by_all(&longest)?, Ending::Exited(42))
}

/// The old `argv[0]` is removed first, so a long one makes room (E-25).
fn rewriting() -> Result<(), Failed> {
    let (at, text, _) = files();
    for (number, argument) in ["", " an argument"].into_iter().enumerate() {
        let line = format!("#!{}{argument}\n", text.display());
        let script = file(at.path().join(format!("script-{number}")), line, 0o755);
        for argv0 in ["", "s", &"a long name ".repeat(500)] {
            for stack in [256 * KIB, 64 * KIB] {
                let call = |size| {
                    long_variables(Call::new(&script).argv([argv0]), size)
                        .limit(RLIMIT_STACK, stack)
                };
                same_around(&[too_big(call, 1)?], call)?;
            }
        }
    }
    Ok(())
}

fn nested() -> Result<(), Failed> {
    let (at, text, _) = files();
    let mut interpreter = text;
    for number in 1..=5 {
        let line = format!("#!{} argument {number}\n", interpreter.display());
        interpreter = file(at.path().join(format!("nested-{number}")), line, 0o755);
    }
    let call = |size| long_variables(Call::new(&interpreter).args(["", "x"]), size);
    same_around(&[too_big(call, 1)?], call)
}
