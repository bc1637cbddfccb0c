//! The JSON of `supplant compare` and `supplant diff` has exactly the fields that docs/compare-json.md lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::comparing::supplant;
use support::system::needs_tracing;
use support::trials;
use support::{elf::Elf, scratch};

trials![
    every_field_is_documented_and_those_that_are_always_there_are,
    all_outcomes_and_both_details_were_looked_at,
];

const PAGE: &str = include_str!("../docs/compare-json.md");

/// A row of the page's tables.
#[derive(Debug)]
struct Field {
    kind: String,
    always: bool,
    /// The heading word above the row: the outcome to which the field belongs, or `None` for all outcomes.
    outcome: Option<String>,
}

/// The fields of the page, by path and type.
fn documented() -> BTreeMap<(String, String), Field> {
    let mut fields = BTreeMap::new();
    let mut outcome = None;
    for line in PAGE.lines() {
        if let Some((word, _)) = line
            .strip_prefix('`')
            .and_then(|rest| rest.split_once("`: "))
        {
            outcome = Some(word.to_owned());
        }
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, path, kind @ ("string" | "number" | "bool"), always, ..] = cells[..] else {
            continue;
        };
        let field = Field {
            kind: kind.to_owned(),
            always: always == "yes",
            outcome: outcome.clone(),
        };
        let key = (path.trim_matches('`').to_owned(), kind.to_owned());
        if fields.insert(key.clone(), field).is_some() {
            // A field that two outcomes have is not always there.
            fields.get_mut(&key).expect("it is there").always = false;
        }
    }
    fields
}

/// Every path with the type of its value; a list of objects counts once.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    let kind = match value {
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                paths(member, &format!("{path}{dot}{name}"), found);
            }
            return;
        }
        Value::Array(elements) => {
            for element in elements {
                paths(element, &format!("{path}[]"), found);
            }
            return;
        }
        Value::Null => return,
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    found.insert((path.to_owned(), kind.to_owned()));
}

/// One comparison of each kind.
fn lines() -> Vec<Value> {
    let directory = scratch();
    let no_machine = Elf::standard()
        .with(|elf| elf.header.machine = 3000)
        .write(directory.path().join("machine"));
    let no_machine = no_machine.to_str().expect("ASCII").to_owned();
    let commands: [&[&str]; 7] = [
        &["compare", "--json", "--other", "no-place", "/bin/true"],
        &["compare", "--json", "/bin/true"],
        &["compare", "--json", "--argv0", "x", "/bin/true"],
        &[
            "compare",
            "--json",
            "--interpreter",
            "/nonexistent",
            "/bin/true",
        ],
        &["compare", "--json", &no_machine],
        &["diff", "--json", "kernel:/bin/true", "kernel:/bin/false"],
        &[
            "compare",
            "--json",
            "--to-exit",
            "--syscalls",
            "-e",
            "LD_LIBRARY_PATH=/x",
            "/bin/true",
        ],
    ];
    let line = |arguments: &&[&str]| {
        let output = supplant(arguments);
        assert_eq!(
            output.stdout.split_inclusive(|&byte| byte == b'\n').count(),
            1
        );
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    };
    commands.iter().map(line).collect()
}

fn every_field_is_documented_and_those_that_are_always_there_are() {
    needs_tracing();
    let (documented, mut seen) = (documented(), BTreeSet::new());
    for line in lines() {
        assert_eq!(line["schema"], 2);
        let mut found = BTreeSet::new();
        paths(&line, "", &mut found);
        for field in &found {
            assert!(
                documented.contains_key(field),
                "{field:?} is not on the page: {line}"
            );
        }
        for (field, what) in &documented {
            let belongs = what
                .outcome
                .as_deref()
                .is_none_or(|outcome| line["outcome"] == outcome);
            let has_object =
                !field.0.contains("entries[]") || line["report"]["entries"][0].is_object();
            let is_due = what.always && belongs && has_object;
            assert!(
                !is_due || found.contains(field),
                "{field:?} is missing: {line}"
            );
            assert_eq!(what.kind, field.1);
        }
        seen.extend(found);
    }
    let never: Vec<_> = documented
        .keys()
        .filter(|field| !seen.contains(*field))
        .collect();
    let rare = ["report.missing[].", "known.rule", "known.reason"];
    let unexplained = never
        .iter()
        .filter(|(path, _)| !rare.iter().any(|rare| path.starts_with(rare)));
    assert_eq!(
        unexplained.count(),
        0,
        "on the page, and not seen: {never:?}"
    );
}

fn all_outcomes_and_both_details_were_looked_at() {
    needs_tracing();
    let mut words: BTreeSet<String> = BTreeSet::new();
    for line in lines() {
        words.extend(line["outcome"].as_str().map(str::to_owned));
        let entries = line["report"]["entries"].as_array().cloned();
        for entry in entries.unwrap_or_default() {
            words.extend(entry["detail"]["kind"].as_str().map(str::to_owned));
        }
    }
    let expected = ["alike", "apart", "bytes", "calls", "failed", "started"];
    assert_eq!(
        words.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}
