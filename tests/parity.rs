//! PARITY.md's table of known differences, held to the lists in the code: each difference that the library tells of, each rule by
//! which compare knows one, and each refusal that it knows has its row; and the table names none that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

/// What stands between `start` and the next quotation mark, wherever `start` does.
fn quoted<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}

#[test]
fn each_difference_that_the_library_tells_of_has_its_row_and_its_rule() {
    let (rows, source) = (rows(), read("loader/model/src/difference.rs"));
    let (_, rules) = source
        .split_once("pub fn rule(self)")
        .expect("it tells the rule");
    let rules = rules.split("impl fmt::Display").next().unwrap_or_default();
    let arms = rules.lines().filter_map(|line| line.split_once(" => \""));
    let mut told = BTreeSet::new();
    for (variants, rule) in arms.take_while(|(variants, _)| variants.contains("Self::")) {
        let rule = rule.split('"').next().unwrap_or_default();
        for variant in variants.split('|') {
            let variant = variant.trim().trim_start_matches("Self::").to_owned();
            let name = format!("Difference::{variant}`");
            let fits =
                |row: &Row| row.text.contains(&name) && row.rules.iter().any(|own| own == rule);
            assert!(
                rows.iter().any(fits),
                "PARITY.md has no row {rule} with {name}"
            );
            told.insert(variant);
        }
    }
    assert!(told.len() > 5, "{told:?}");
    for row in &rows {
        for rest in row.text.split("Difference::").skip(1) {
            let name = rest.split(|other: char| !other.is_alphanumeric()).next();
            let name = name.unwrap_or_default();
            assert!(
                told.contains(name),
                "there is no Difference::{name}: {}",
                row.text
            );
        }
    }
}

#[test]
fn each_rule_and_refusal_that_compare_knows_has_its_row() {
    let rows = rows();
    let known = read("loader/inspect/src/snapshot/known.rs");
    let refusals = read("src/compare/refusal.rs");
    let by_rule: BTreeSet<&str> = quoted(&known, "number: \"").collect();
    let refused: BTreeSet<&str> = quoted(&refusals, "\"P-")
        .map(|rest| ("P-", rest))
        .chain(quoted(&refusals, "\"H-").map(|rest| ("H-", rest)))
        .map(|(_, rest)| rest)
        .collect();
    assert!(
        by_rule.len() > 4 && refused.len() > 2,
        "{by_rule:?} {refused:?}"
    );
    for rule in by_rule {
        let fits =
            |row: &Row| row.rules.iter().any(|own| own == rule) && row.text.contains("compare: ");
        assert!(
            rows.iter().any(fits),
            "PARITY.md has no row {rule} with what compare shows"
        );
    }
    for number in refused {
        let is_it = |own: &String| own.split_once('-').is_some_and(|(_, own)| own == number);
        let fits = |row: &Row| row.rules.iter().any(is_it);
        assert!(
            rows.iter().any(fits),
            "PARITY.md has no row for the refusal -{number}"
        );
    }
}
