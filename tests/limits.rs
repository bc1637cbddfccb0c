//! Resource limits, in many steps: a program ends in the same way by the kernel and by supplant, down to limits that are
//! too low for the command itself. Also very many or very large arguments and environment strings.

use std::path::{Path, PathBuf};

use nix::sys::resource::Resource;
use support::alike::{alike, program};
use support::{Call, Ending, builds, test_binaries};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Each step is 1.5 times the previous step, in whole pages.
fn steps(from: u64, to: u64) -> Vec<u64> {
    let next = |limit: &u64| Some(limit + (limit / 2).next_multiple_of(4 * KIB));
    std::iter::successors(Some(from), next)
        .take_while(|&limit| limit <= to)
        .collect()
}

/// The first step at which the command can at least print its version.
fn own_need(build: &Path, resource: Resource, steps: &[u64]) -> u64 {
    let works = |limit: &&u64| {
        let call = Call::new(build)
            .args(["--version"])
            .limit(resource, **limit);
        call.by_kernel().ending == Ending::Exited(0)
    };
    *steps.iter().find(works).expect("the last one is enough")
}

/// Compares the endings at each step. A program that runs by the kernel may fail by us only if the limit is below the
/// command's own need, which is higher by at most `more` while it holds the memory of both programs.
fn endings_are_alike(resource: Resource, programs: &[PathBuf], steps: &[u64], more: u64) {
    for build in builds() {
        let own = own_need(&build, resource, steps) + more;
        for (program, &limit) in programs
            .iter()
            .flat_map(|p| steps.iter().map(move |s| (p, s)))
        {
            let call = Call::new(program).no_randomize().limit(resource, limit);
            let (kernel, ours) = (call.by_kernel(), call.by_command(&build));
            assert!(
                kernel.ending == ours.ending || limit < own,
                "{} at {limit:#x}, own need {own:#x}, kernel: {kernel:?}\n{}: {ours:?}",
                program.display(),
                build.display()
            );
        }
    }
}

fn programs() -> Vec<PathBuf> {
    [
        "glibc-static/arguments",
        "glibc-pie/arguments",
        "glibc-static/huge_bss",
    ]
    .map(|name| test_binaries().join(name))
    .into_iter()
    .filter(|path| path.exists())
    .collect()
}

#[test]
fn address_space() {
    endings_are_alike(
        Resource::RLIMIT_AS,
        &programs(),
        &steps(256 * KIB, 4096 * MIB),
        MIB,
    );
}

#[test]
fn data() {
    endings_are_alike(
        Resource::RLIMIT_DATA,
        &programs(),
        &steps(4 * KIB, 4096 * MIB),
        128 * KIB,
    );
}

#[test]
fn stack() {
    let mut programs = programs();
    programs.push(program("deep_stack"));
    endings_are_alike(
        Resource::RLIMIT_STACK,
        &programs,
        &steps(4 * KIB, 64 * MIB),
        16 * KIB,
    );
}

#[test]
fn stack_with_arguments_by_the_library() {
    for size in [0, 20, 120] {
        let args = vec!["x".repeat(1000); size];
        for limit in steps(4 * KIB, 2 * MIB) {
            let call = Call::new(program("arguments")).args(&args);
            let call = call.no_randomize().limit(Resource::RLIMIT_STACK, limit);
            let (kernel, ours) = (call.by_kernel(), call.by_library());
            assert_eq!(kernel, ours, "{size} arguments, limit {limit:#x}");
        }
    }
}

#[test]
fn ten_thousand_arguments_and_a_mebibyte_of_environment_arrive() {
    let args = (0..10_000).map(|number| format!("argument {number}"));
    let envp = (10..42).map(|number| format!("V{number}={}", "x".repeat(32 * 1024)));
    let call = Call::new(program("tell")).args(args).envp(envp);
    let told = alike(&call, &["argc", "cmdline", "environ"]);
    assert!(told.has("argc 10001"), "{told:?}");
    assert!(told.stdout.len() > 1024 * 1024);
}
