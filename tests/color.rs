//! `--color`: colours in reports, help and errors follow the option, or else the terminal and the environment.

use std::process::{Command, Output};

use support::builds;
use support::comparing::text;
use support::system::{may_trace, needs_tracing};
use support::trials;
use support::trials::ignore;

trials![
    the_option_decides_whatever_the_environment_says,
    without_it_or_with_auto_the_environment_decides,
    on_a_terminal_there_are_colours_unless_they_are_not_wanted,
    behind_the_program_it_is_the_programs,
    a_word_that_is_no_choice_is_a_wrong_command_line,
    json_has_none,
];

/// Commands with coloured output, the position of the option among their words, and whether they trace.
const COMMANDS: [(&[&str], usize, bool); 10] = [
    (&["compare", "/bin/true"], 1, true),
    (&["compare", "--each", "/bin/true"], 1, true),
    (&["diff", "kernel:/bin/true", "kernel:/bin/false"], 3, true),
    (&["layout", "plan:/bin/true"], 2, false),
    (&["check", "/bin/true"], 2, false),
    (&["plan", "/bin/true"], 1, false),
    (&["run", "--help"], 1, false),
    (&["--help"], 0, false),
    (&["run", "--nothing"], 1, false),
    (&["run"], 1, false),
];

/// `supplant WORDS...` with these variables, and no others that affect colours.
fn supplant(words: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(builds().remove(0))
        .args(words)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE")
        .envs(variables.iter().copied())
        .output()
        .expect("it was built")
}

fn has_colours(output: &Output) -> bool {
    text(output).contains("\x1b[")
}

/// The words with the option before the command, and with the option among the command's own words.
fn with_option<'a>(words: &[&'a str], at: usize, color: &'a str) -> [Vec<&'a str>; 2] {
    [0, at].map(|at| {
        let mut words = words.to_vec();
        words.insert(at, color);
        words
    })
}

fn the_option_decides_whatever_the_environment_says() {
    let is_refused = !may_trace();
    let shown = COMMANDS
        .iter()
        .filter(|(.., traces)| !(*traces && is_refused));
    for &(words, at, _) in shown {
        for words in with_option(words, at, "--color=always") {
            assert!(has_colours(&supplant(&words, &[])), "{words:?}");
            let output = supplant(&words, &[("NO_COLOR", "1")]);
            assert!(has_colours(&output), "{words:?}");
        }
        for words in with_option(words, at, "--color=never") {
            let output = supplant(&words, &[("CLICOLOR_FORCE", "1")]);
            assert!(!has_colours(&output), "{words:?}: {}", text(&output));
        }
    }
}

fn without_it_or_with_auto_the_environment_decides() {
    let is_refused = !may_trace();
    let shown = COMMANDS
        .iter()
        .filter(|(.., traces)| !(*traces && is_refused));
    for &(words, at, _) in shown {
        let [before, among] = with_option(words, at, "--color=auto");
        for words in [words.to_vec(), before, among] {
            assert!(!has_colours(&supplant(&words, &[])), "{words:?}");
            let output = supplant(&words, &[("CLICOLOR_FORCE", "1")]);
            assert!(has_colours(&output), "{words:?}: {}", text(&output));
        }
    }
}

fn on_a_terminal_there_are_colours_unless_they_are_not_wanted() {
    let seen = |words: &str, variables: &[(&str, &str)]| {
        let command = format!("{} {words}", builds().remove(0).display());
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]);
        script
            .env("TERM", "xterm")
            .env_remove("CLICOLOR")
            .env_remove("NO_COLOR");
        let output = script.envs(variables.iter().copied()).output().ok()?;
        output.status.success().then(|| has_colours(&output))
    };
    let Some(is_coloured) = seen("check /bin/true", &[]) else {
        ignore("script(1)");
    };
    assert!(is_coloured);
    assert_eq!(seen("check /bin/true", &[("NO_COLOR", "1")]), Some(false));
    assert_eq!(seen("--color never check /bin/true", &[]), Some(false));
    assert_eq!(seen("run --color never --help", &[]), Some(false));
}

fn behind_the_program_it_is_the_programs() {
    let output = supplant(&["run", "/bin/echo", "--color=sometimes"], &[]);
    assert_eq!(text(&output), "--color=sometimes\n");
}

fn a_word_that_is_no_choice_is_a_wrong_command_line() {
    for words in [&["--color=sometimes", "run", "x"][..], &["run", "--color"]] {
        let output = supplant(words, &[]);
        assert_eq!(output.status.code(), Some(125), "{}", text(&output));
        assert!(
            text(&output).contains("--color <WHEN>"),
            "{}",
            text(&output)
        );
    }
}

fn json_has_none() {
    needs_tracing();
    for words in [
        &["compare", "--json", "--color=always", "/bin/true"][..],
        &["check", "--json", "--color=always", "/bin/true"],
        &["plan", "--json", "--color=always", "/bin/true"],
        &["layout", "--json", "-", "--color=always", "plan:/bin/true"],
    ] {
        assert!(!has_colours(&supplant(words, &[])), "{words:?}");
    }
}
