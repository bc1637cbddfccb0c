//! Scripts whose interpreters are scripts (E-19, B-12).

use std::fs::OpenOptions;

use libtest_mimic::{Failed, Trial};

use crate::{fixture, script};
use support::refused::{all, expect, file, same_by_all};
use support::trials::trial;
use support::{Call, Ending};

const TOO_DEEP: Ending = Ending::Refused(libc::ELOOP);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for depth in 1..=7 {
        let ending = if depth <= 5 {
            Ending::Exited(42)
        } else {
            TOO_DEEP
        };
        trials.push(trial(
            format!("{depth}_scripts_in_a_row"),
            None,
            move || in_a_row(depth, "i", ending),
        ));
    }
    for (name, last, of_5, of_6) in LASTS {
        trials.push(trial(
            format!("scripts_in_a_row_and_{name}_at_the_end"),
            None,
            move || {
                in_a_row(4, last, of_5)?;
                in_a_row(5, last, of_5)?;
                in_a_row(6, last, of_6)
            },
        ));
    }
    trials.extend([
        trial("a_script_that_names_itself", None, || {
            circle(&["#!./s0 x\n"])
        }),
        trial("two_scripts_that_name_each_other", None, || {
            circle(&["#!./s1\n", "#!./s0 x\n"])
        }),
        trial(
            "a_script_that_is_its_interpreter_by_a_link",
            None,
            by_a_link,
        ),
        trial("arguments_of_nested_scripts_are_in_order", None, arguments),
        trial("a_busy_file_at_the_end_of_six_scripts", None, busy),
    ]);
    trials
}

/// What the last script names, and how a chain of five and a chain of six scripts end.
const LASTS: [(&str, &str, Ending, Ending); 5] = [
    (
        "nothing",
        "nothing",
        Ending::Refused(libc::ENOENT),
        Ending::Refused(libc::ENOENT),
    ),
    (
        "a_directory",
        "x",
        Ending::Refused(libc::EACCES),
        Ending::Refused(libc::EACCES),
    ),
    ("text", "text", Ending::Refused(libc::ENOEXEC), TOO_DEEP),
    (
        "a_plain_file",
        "plain",
        Ending::Refused(libc::EACCES),
        Ending::Refused(libc::EACCES),
    ),
    (
        "a_line_without_a_name",
        "noname",
        Ending::Refused(libc::ENOEXEC),
        TOO_DEEP,
    ),
];

/// Calls `s1`; the last script names `last`.
fn in_a_row(depth: usize, last: &str, ending: Ending) -> Result<(), Failed> {
    let at = fixture();
    file(at.path().join("text"), "text", 0o755);
    file(at.path().join("plain"), "text", 0o644);
    file(at.path().join("noname"), "#! \n", 0o755);
    for number in 1..=depth {
        let next = if number == depth {
            last.to_owned()
        } else {
            format!("s{}", number + 1)
        };
        file(
            at.path().join(format!("s{number}")),
            format!("#!{next} argument {number}\n"),
            0o755,
        );
    }
    let call = Call::new("./s1").args(["one", ""]).directory(at.path());
    expect(&same_by_all(&call)?, ending)
}

fn circle(lines: &[&str]) -> Result<(), Failed> {
    let at = fixture();
    for (number, line) in lines.iter().enumerate() {
        file(at.path().join(format!("s{number}")), line, 0o755);
    }
    expect(
        &same_by_all(&Call::new("./s0").directory(at.path()))?,
        TOO_DEEP,
    )
}

fn by_a_link() -> Result<(), Failed> {
    let at = fixture();
    let call = script(&at, "s", "#!./link\n");
    std::os::unix::fs::symlink("s", at.path().join("link"))?;
    expect(&same_by_all(&call)?, TOO_DEEP)
}

/// Scripts with and without arguments, at each of three depths.
fn arguments() -> Result<(), Failed> {
    let at = fixture();
    let forms = ["", " x", " x y ", "\t\tx\0z"];
    let chains = forms
        .iter()
        .flat_map(|outer| forms.iter().map(move |inner| (outer, inner)));
    all(chains.enumerate().map(|(number, (outer, inner))| {
        let (first, second) = (format!("a{number}"), format!("b{number}"));
        file(at.path().join(&second), format!("#!i{inner}\n"), 0o755);
        let call = script(&at, &first, format!("#!./{second}{outer}\n"));
        (number, support::refused::same(&call))
    }))
}

fn busy() -> Result<(), Failed> {
    let at = fixture();
    for number in 1..=6 {
        let next = if number == 6 {
            "i".to_owned()
        } else {
            format!("s{}", number + 1)
        };
        file(
            at.path().join(format!("s{number}")),
            format!("#!{next}\n"),
            0o755,
        );
    }
    let _writer = OpenOptions::new().append(true).open(at.path().join("i"))?;
    let call = Call::new("./s1").directory(at.path());
    expect(&same_by_all(&call)?, Ending::Refused(libc::ETXTBSY))
}
