//! Makes a program smaller while it still shows what was found.

use crate::program::{Change, Program};

/// Simpler values come first.
const SIMPLE: [u64; 10] = [
    0,
    1,
    2,
    0xfff,
    0x1000,
    0x2000,
    0x1_0000,
    0x40_0000,
    1 << 40,
    u64::MAX,
];
/// How often `shows` is asked at most.
const QUESTIONS: usize = 400;

/// The smallest program for which `shows` still returns something, and what it returns.
pub fn minimise(
    program: &Program,
    found: String,
    shows: impl Fn(&Program) -> Option<String>,
) -> (Program, String) {
    let mut search = Search {
        program: program.clone(),
        found,
        shows,
        left: QUESTIONS,
    };
    while search.without_a_change() || search.with_a_simpler_value() {}
    (search.program, search.found)
}

struct Search<F> {
    program: Program,
    found: String,
    shows: F,
    left: usize,
}

impl<F: Fn(&Program) -> Option<String>> Search<F> {
    /// Takes the candidate if it shows the same.
    fn takes(&mut self, changes: Vec<Change>) -> bool {
        if self.left == 0 || changes == self.program.changes {
            return false;
        }
        self.left -= 1;
        let candidate = Program {
            changes,
            ..self.program
        };
        let found = (self.shows)(&candidate);
        let takes = found.is_some();
        if let Some(found) = found {
            (self.program, self.found) = (candidate, found);
        }
        takes
    }

    fn without_a_change(&mut self) -> bool {
        (0..self.program.changes.len()).rev().any(|index| {
            let mut changes = self.program.changes.clone();
            changes.remove(index);
            self.takes(changes)
        })
    }

    fn with_a_simpler_value(&mut self) -> bool {
        (0..self.program.changes.len()).any(|index| {
            let simpler = simpler(self.program.changes[index]);
            simpler.into_iter().any(|change| {
                let mut changes = self.program.changes.clone();
                changes[index] = change;
                self.takes(changes)
            })
        })
    }
}

/// The same change with each simpler value: a value from the list that comes before, whole pages, or half as much.
fn simpler(change: Change) -> Vec<Change> {
    let (value, with): (u64, Box<dyn Fn(u64) -> Change>) = match change {
        Change::Header(field, value) => {
            (value, Box::new(move |value| Change::Header(field, value)))
        }
        Change::Field(index, field, value) => (
            value,
            Box::new(move |value| Change::Field(index, field, value)),
        ),
        Change::Move(index, value) => (value, Box::new(move |value| Change::Move(index, value))),
        Change::Size(value) => (value, Box::new(Change::Size)),
        Change::Spread(index, copies, distance) => {
            let fewer = [1, copies / 2, copies.saturating_sub(1)];
            let fewer = fewer
                .into_iter()
                .filter(|&fewer| fewer > 0 && fewer < copies);
            return fewer
                .map(|fewer| Change::Spread(index, fewer, distance))
                .collect();
        }
        _ => return Vec::new(),
    };
    let rank = SIMPLE.iter().position(|&simple| simple == value);
    let mut values: Vec<u64> = SIMPLE[..rank.unwrap_or(SIMPLE.len())].to_vec();
    if rank.is_none() {
        values.extend(
            [value & !0xfff, value >> 12 << 11]
                .iter()
                .filter(|&&simple| simple < value),
        );
    }
    values.into_iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Field;
    use support::elf::Base;

    #[test]
    fn only_the_change_that_shows_it_is_left_with_a_simple_value() {
        let program = Program {
            base: Base::Exec,
            changes: vec![
                Change::Remove(1),
                Change::Field(0, Field::Align, 0x1234_5678),
                Change::Size(7),
                Change::Spread(0, 9, 0x1000),
            ],
        };
        let shows = |program: &Program| {
            let changes = program.changes.iter();
            let found = changes.filter_map(|change| match change {
                Change::Field(0, Field::Align, align) => Some(*align),
                _ => None,
            });
            found
                .max()
                .filter(|&align| align > 0x1000)
                .map(|align| align.to_string())
        };
        let (smallest, found) = minimise(&program, String::new(), shows);
        assert_eq!(smallest.changes, [Change::Field(0, Field::Align, 0x2000)]);
        assert_eq!(found, 0x2000.to_string());
        let text = smallest.as_vector("it differs");
        assert!(
            text.contains("elf.program_headers[0].align = 0x2000;"),
            "{text}"
        );
    }
}
