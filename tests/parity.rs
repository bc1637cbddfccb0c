//! Compares PARITY.md's table of known differences with the table of rules in the code: each rule has its row, with its
//! difference and its keys, and no row names a difference that does not exist.

use std::fs;
use std::path::Path;

use supplant_model::rules::{RULES, Subject};

/// A row of "All known differences".
struct Row {
    /// `P-8`, or several rules.
    rules: Vec<String>,
    text: String,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rows() -> Vec<Row> {
    let text = read("PARITY.md");
    let (_, table) = text
        .split_once("## All known differences")
        .expect("it has that table");
    let (table, _) = table.split_once("\n## ").expect("another part follows");
    let lines = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| rule"));
    let row = |line: &str| {
        let (rules, _) = line
            .trim_start_matches("| ")
            .split_once(" |")
            .expect("a row has cells");
        Row {
            rules: rules.split(", ").map(str::to_owned).collect(),
            text: line.to_owned(),
        }
    };
    lines.map(row).collect()
}

/// The rows of the rule.
fn of<'a>(rows: &'a [Row], rule: &'a str) -> impl Iterator<Item = &'a Row> {
    let has_it = move |row: &&Row| row.rules.iter().any(|own| own == rule);
    rows.iter().filter(has_it)
}

#[test]
fn each_rule_has_its_row_which_names_the_difference_and_each_key_it_shows_in() {
    let rows = rows();
    for rule in &RULES {
        let name = match rule.subject {
            Subject::Difference(difference, _) => format!("`Difference::{difference:?}`"),
            _ => String::new(),
        };
        let has_key = |row: &Row, key: &str| row.text.contains(&format!("`{key}`"));
        let tells_all =
            |row: &Row| row.text.contains(&name) && rule.keys.iter().all(|key| has_key(row, key));
        assert!(
            of(&rows, rule.number).any(tells_all),
            "PARITY.md has no row {} with {name} and {:?}",
            rule.number,
            rule.keys
        );
    }
}

#[test]
fn each_refusal_that_compare_knows_is_told_to_be_known() {
    let rows = rows();
    let refused = RULES
        .iter()
        .filter(|rule| matches!(rule.subject, Subject::Refused(_)));
    for rule in refused {
        assert!(
            of(&rows, rule.number).any(|row| row.text.contains("known to compare")),
            "PARITY.md has no row {} that says that compare knows it",
            rule.number
        );
    }
}

#[test]
fn the_table_names_no_difference_that_is_not_there() {
    let told: Vec<String> = RULES
        .iter()
        .filter_map(|rule| match rule.subject {
            Subject::Difference(difference, _) => Some(format!("{difference:?}")),
            _ => None,
        })
        .collect();
    for row in rows() {
        for rest in row.text.split("Difference::").skip(1) {
            let name = rest.split(|other: char| !other.is_alphanumeric()).next();
            let name = name.unwrap_or_default();
            assert!(
                told.iter().any(|own| own == name),
                "there is no Difference::{name}: {}",
                row.text
            );
        }
    }
}

/// The sources that the documents name, with their paths.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("loader"), root.join("tests")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)
            .expect("a folder of the project")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                sources.push((path.display().to_string(), text));
            }
        }
    }
    sources
}

/// For `` a.rs `b`, `c` ``, the names b and c.
fn names_after(mut rest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    while let Some(after) = rest.trim_start_matches([' ', ',']).strip_prefix('`') {
        let Some((name, then)) = after.split_once('`') else {
            break;
        };
        names.push(name);
        rest = then;
    }
    names
}

#[test]
fn what_parity_says_where_a_rule_is_followed_is_there() {
    let (text, sources) = (read("PARITY.md"), sources());
    let mut count = 0;
    for (at, _) in text.match_indices(".rs `") {
        let (before, rest) = (&text[..at + 3], &text[at + 3..]);
        let is_of_path = |letter: char| letter.is_ascii_alphanumeric() || "/_.".contains(letter);
        let path = &before[before.trim_end_matches(is_of_path).len()..];
        for name in names_after(rest) {
            let own_name = name.rsplit("::").next().unwrap_or(name);
            let is_there = |(file, text): &(String, String)| {
                file.ends_with(&format!("/{path}")) && text.contains(own_name)
            };
            assert!(
                sources.iter().any(is_there),
                "PARITY.md: {path} has no {name}"
            );
            count += 1;
        }
    }
    assert!(count > 100, "only {count} places");
}
