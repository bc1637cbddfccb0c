//! PARITY.md's table of known differences, held to the table of rules in the code: each rule has its row, with the difference
//! and the keys that it names; and the rows name no difference that is not there.

use std::fs;
use std::path::Path;

use supplant_model::rules::{RULES, Subject};

/// A row of "All known differences".
struct Row {
    /// `P-8`, or several.
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
