//! Tests of `supplant plan`: a plan matches `run`, and the kernel without randomisation.

#[path = "plan/hosts.rs"]
mod hosts;
#[path = "plan/like_run.rs"]
mod like_run;
#[path = "plan/shown.rs"]
mod shown;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::refused::forking;
use support::trials;
use support::{builds, test_binaries};

trials![
    hosts::this_host_in_a_file_gives_the_same_plan,
    hosts::a_program_of_another_machine_is_planned_on_a_host_of_its_kind,
    hosts::a_file_that_is_no_host_is_refused_in_one_line,
    like_run::without_randomisation_a_plan_is_what_run_does,
    like_run::a_seed_gives_the_same_plan_again_and_run_follows_it,
    like_run::without_randomisation_a_plan_is_what_the_kernel_does,
    like_run::the_system_calls_are_those_of_run,
    like_run::what_stays_different_is_what_run_says,
    shown::the_stack_is_shown_without_a_byte_left_out,
    shown::a_program_that_would_be_refused_is_shown_as_far_as_it_goes,
    shown::lines_fit_their_page,
];

const PROGRAMS: [&str; 11] = [
    "glibc-pie/tell",
    "glibc-nopie/tell",
    "glibc-static/tell",
    "glibc-static-pie/tell",
    "musl-pie/tell",
    "musl-static/exec_stack",
    "bare/align_2m",
    "bare/two_segments_far",
    "glibc-pie/huge_bss",
    "bare/low_address",
    "bare/uses_exec_interp",
];

fn programs() -> Vec<PathBuf> {
    let paths = PROGRAMS.iter().map(|name| test_binaries().join(name));
    let there: Vec<_> = paths.filter(|path| path.exists()).collect();
    assert!(!there.is_empty(), "`make test-binaries` builds them");
    there
}

/// With the same small environment each time, so that the stack size is the same.
fn supplant(arguments: &[&str]) -> Command {
    let mut command = Command::new(&builds()[0]);
    command.args(arguments).env_clear().env("NAME", "value");
    command
}

fn plan(options: &[&str], program: &Path) -> Output {
    output(supplant(&["plan"]).args(options).arg(program))
}

fn planned(options: &[&str], program: &Path) -> Value {
    let output = plan(&[options, &["--json"]].concat(), program);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The output of a command that starts while no file is being written: a child would keep that file busy for a moment.
fn output(command: &mut Command) -> Output {
    forking(|| command.output()).expect("it was built")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn address(plan: &Value, name: &str) -> u64 {
    let addresses = plan["addresses"].as_array().expect("a plan has addresses");
    let found = addresses
        .iter()
        .find(|address| address["name"] == name)
        .expect(name);
    let text = found["address"].as_str().expect("an address is a string");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("in hexadecimal")
}
