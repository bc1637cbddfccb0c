//! `--color`: whether reports, help and errors have colours.

use std::ffi::OsString;

use anstream::ColorChoice;
use clap::ValueEnum as _;

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Applies the choice to all later output, including clap's own texts. `Auto` depends on the terminal and on `NO_COLOR`,
    /// `CLICOLOR` and `CLICOLOR_FORCE`.
    pub(crate) fn choose(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }

    /// The choice on a command line, as far as it is known before the words are parsed: help and errors come from the parser
    /// itself. The parser rejects a wrong value.
    pub(crate) fn early(words: &[OsString]) -> Self {
        let words = words.iter().skip(1).take_while(|word| *word != "--");
        let mut words = words.filter_map(|word| word.to_str());
        while let Some(word) = words.next() {
            let value = match word {
                "--color" => words.next(),
                word => word.strip_prefix("--color="),
            };
            if let Some(color) = value.and_then(|value| Self::from_str(value, false).ok()) {
                return color;
            }
        }
        Self::Auto
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_found_before_the_words_are_parsed() {
        let early = |text: &str| {
            let words: Vec<_> = text.split(' ').map(OsString::from).collect();
            Color::early(&words)
        };
        assert_eq!(early("supplant run --color never --help"), Color::Never);
        assert_eq!(early("supplant --color=always run"), Color::Always);
        assert_eq!(early("supplant --color sometimes run"), Color::Auto);
        assert_eq!(early("supplant run -- ls --color=always"), Color::Auto);
        assert_eq!(early("supplant run --color"), Color::Auto);
    }
}
