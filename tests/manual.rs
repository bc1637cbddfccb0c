//! Tests of help, man pages and completions: every command has them, with examples, and their lines fit.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use support::scratch;
use support::trials::trial;

/// The distributable command has no `manual`.
const BUILD: &str = env!("CARGO_BIN_EXE_supplant");
const COMPLETIONS: [&str; 5] = [
    "supplant.bash",
    "_supplant",
    "supplant.fish",
    "supplant.elv",
    "_supplant.ps1",
];

fn main() {
    let trials = vec![
        Trial::test("every_command_has_a_man_page_with_its_options", man_pages),
        Trial::test("completions_name_every_command_and_option", completions),
        Trial::test("the_help_of_every_command_has_examples", examples),
        Trial::test("help_fits_its_width", widths),
        Trial::test("what_cannot_be_written_is_one_line", unwritable),
        trial("groff_finds_nothing_wrong", missing("groff"), groff),
        trial("bash_takes_its_completions", missing("bash"), bash),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn missing(name: &'static str) -> Option<&'static str> {
    Command::new(name)
        .arg("--version")
        .output()
        .is_err()
        .then_some(name)
}

fn help(words: &[&str], columns: u32) -> String {
    let mut command = Command::new(BUILD);
    command
        .args(words)
        .arg("--help")
        .env("COLUMNS", columns.to_string());
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The commands that the help lists, except `help` itself.
fn commands() -> Vec<String> {
    let help = help(&[], 100);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let name = |line: &str| {
        line.strip_prefix("  ")?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let commands: Vec<_> = listed
        .map_while(name)
        .filter(|name| name != "help")
        .collect();
    assert!(commands.len() >= 5, "{help}");
    commands
}

/// The long options that the help of a command lists.
fn options(command: &str) -> Vec<String> {
    let options = options_with_values(command).into_iter();
    options.map(|(name, _)| name).collect()
}

/// The long options that the help of a command lists, each with the name of its value, if it has one.
fn options_with_values(command: &str) -> Vec<(String, Option<String>)> {
    let help = help(&[command], 100);
    let option = |line: &str| {
        let at = line.starts_with(' ').then(|| line.find("--"))??;
        let mut words = line[at + 2..].split(' ');
        let name = words.next()?.to_owned();
        let value = words.next().and_then(|word| word.strip_prefix('<'));
        let value = value.and_then(|word| word.strip_suffix('>'));
        let is_option = !name.is_empty() && line[..at].trim().len() <= 3;
        is_option.then(|| (name, value.map(str::to_owned)))
    };
    let end = ["\nNames:", "\nExamples:"].map(|title| help.find(title).unwrap_or(help.len()));
    let before = &help[..end[0].min(end[1])];
    let listed = before.lines().skip_while(|line| !line.ends_with(':'));
    listed.filter_map(option).collect()
}

fn manual(option: &str, directory: &Path) -> Result<(), Failed> {
    let mut command = Command::new(BUILD);
    let status = command.args(["manual", option]).arg(directory).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{status}").into())
    }
}

fn lacks(what: &str, text: &str, wanted: &str) -> Result<(), Failed> {
    if text.contains(wanted) {
        Ok(())
    } else {
        Err(format!("{what} lacks {wanted}").into())
    }
}

fn man_pages() -> Result<(), Failed> {
    let directory = scratch();
    manual("--man", directory.path())?;
    let page = |name: &str| fs::read_to_string(directory.path().join(name));
    let all = page("supplant.1")?;
    for command in commands() {
        lacks("supplant.1", &all, &format!("supplant\\-{command}(1)"))?;
        let name = format!("supplant-{command}.1");
        let own = page(&name)?;
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH EXAMPLES"] {
            lacks(&name, &own, section)?;
        }
        for (option, value) in options_with_values(&command) {
            let option = format!("\\-\\-{}\\fR", option.replace('-', "\\-"));
            let (synopsis, listed) = match value {
                Some(value) => (
                    format!("{option} \\fI{value}\\fR]"),
                    format!("{option} \\fI<{value}>\\fR"),
                ),
                None => (format!("{option}]"), format!("{option}\n")),
            };
            lacks(&name, &own, &synopsis)?;
            lacks(&name, &own, &listed)?;
        }
    }
    Ok(())
}

fn completions() -> Result<(), Failed> {
    let directory = scratch();
    manual("--completions", directory.path())?;
    for name in COMPLETIONS {
        let text = fs::read_to_string(directory.path().join(name))?;
        for command in commands() {
            lacks(name, &text, &command)?;
            for option in options(&command) {
                lacks(name, &text, &option)?;
            }
        }
    }
    Ok(())
}

fn examples() -> Result<(), Failed> {
    for command in commands() {
        let help = help(&[&command], 200);
        let examples = help.split("\nExamples:\n").nth(1).unwrap_or_default();
        let is_example = |line: &&str| line.starts_with("  ") && line.contains("supplant ");
        let examples: Vec<_> = examples.lines().take_while(is_example).collect();
        if !examples
            .iter()
            .any(|line| line.contains(&format!("supplant {command} ")))
        {
            return Err(format!("{command}: {help}").into());
        }
    }
    Ok(())
}

fn widths() -> Result<(), Failed> {
    let commands = commands();
    let all = commands.iter().map(|command| vec![command.as_str()]);
    for words in all.chain([vec![]]) {
        for columns in [60, 80, 200] {
            let help = help(&words, columns);
            let long = help
                .lines()
                .find(|line| line.chars().count() > columns as usize);
            if let Some(line) = long {
                return Err(format!("{words:?} at {columns}: {line}").into());
            }
        }
    }
    Ok(())
}

fn unwritable() -> Result<(), Failed> {
    for option in ["--man", "--completions"] {
        let mut command = Command::new(BUILD);
        let output = command.args(["manual", option, "/dev/null/x"]).output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let one_line = text.lines().count() == 1 && text.starts_with("supplant: manual: ");
        if output.status.code() != Some(1) || !one_line {
            return Err(format!("{option}: {} {text}", output.status).into());
        }
    }
    Ok(())
}

fn groff() -> Result<(), Failed> {
    let directory = scratch();
    manual("--man", directory.path())?;
    for page in fs::read_dir(&directory)? {
        let output = Command::new("groff")
            .args(["-man", "-ww", "-z"])
            .arg(page?.path())
            .output()?;
        if !output.stderr.is_empty() || !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    Ok(())
}

fn bash() -> Result<(), Failed> {
    let directory = scratch();
    manual("--completions", directory.path())?;
    let script = "source ./supplant.bash && complete -p supplant";
    let output = Command::new("bash")
        .args(["--norc", "-c", script])
        .current_dir(&directory)
        .output()?;
    lacks("bash", &String::from_utf8_lossy(&output.stdout), "supplant")
}
