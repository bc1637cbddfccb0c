//! Command substitutions in the words of wordexp(3): finds them, and replaces them with the output of the commands.
//!
//! glibc: posix/wordexp.c. This follows glibc's parser exactly, also where it differs from a shell's. The output of a
//! command is inserted as quoted text, so that the C library sees words without commands.

/// A part of the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text that stays unchanged.
    Text(Vec<u8>),
    /// A command for the shell.
    Command {
        command: Vec<u8>,
        /// Between double quotes: the output is one word.
        quoted: bool,
    },
}

/// Splits the words into pieces. `None` if the context of a command would have to be understood: in `${…}` and in
/// arithmetic, in a word with a pattern or a tilde, and if something is not terminated.
pub(crate) fn parse(words: &[u8]) -> Option<Vec<Piece>> {
    let mut parser = Parser {
        words,
        at: 0,
        text: Vec::new(),
        pieces: Vec::new(),
        has_pattern: false,
    };
    parser.words()?;
    parser.end_text();
    Some(parser.pieces)
}

struct Parser<'a> {
    words: &'a [u8],
    at: usize,
    text: Vec<u8>,
    pieces: Vec<Piece>,
    has_pattern: bool,
}

impl Parser<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.words.get(self.at + ahead).copied()
    }

    /// Skips the next byte and returns it.
    fn skip(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        self.at += 1;
        Some(byte)
    }

    /// Copies the next byte as text and returns it.
    fn copy(&mut self) -> Option<u8> {
        let byte = self.skip()?;
        self.text.push(byte);
        Some(byte)
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.pieces
                .push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    fn add(&mut self, command: Vec<u8>, quoted: bool) -> Option<()> {
        if self.has_pattern {
            return None;
        }
        self.end_text();
        self.pieces.push(Piece::Command { command, quoted });
        Some(())
    }

    fn words(&mut self) -> Option<()> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => {
                    self.copy();
                    self.copy();
                }
                b'\'' => self.single_quotes()?,
                b'"' => self.double_quotes()?,
                b'$' => self.dollar(false)?,
                b'`' => self.backticks(false)?,
                _ => {
                    self.has_pattern |= b"*?[~".contains(&byte);
                    self.has_pattern &= !b" \t".contains(&byte);
                    self.copy();
                }
            }
        }
        Some(())
    }

    fn single_quotes(&mut self) -> Option<()> {
        self.copy();
        while self.copy()? != b'\'' {}
        Some(())
    }

    fn double_quotes(&mut self) -> Option<()> {
        self.copy();
        loop {
            match self.peek(0)? {
                b'"' => {
                    self.copy();
                    return Some(());
                }
                b'\\' => {
                    self.copy();
                    self.copy()?;
                }
                b'$' => self.dollar(true)?,
                b'`' => self.backticks(true)?,
                _ => drop(self.copy()),
            }
        }
    }

    fn dollar(&mut self, quoted: bool) -> Option<()> {
        match self.peek(1) {
            Some(b'(') if self.is_arithmetic() => self.expression(b'(', b')'),
            Some(b'(') => {
                self.at += 2;
                let command = self.parentheses()?;
                self.add(command, quoted)
            }
            Some(b'{') => self.expression(b'{', b'}'),
            Some(b'[') => self.expression(b'[', b']'),
            _ => {
                self.copy();
                Some(())
            }
        }
    }

    /// Whether `$((` ends with `))` and is not a subshell in a command.
    fn is_arithmetic(&self) -> bool {
        if self.peek(2) != Some(b'(') {
            return false;
        }
        let mut depth = 0;
        let mut ahead = 3;
        while let Some(byte) = self.peek(ahead) {
            match byte {
                b')' if depth == 0 => return self.peek(ahead + 1) == Some(b')'),
                b')' => depth -= 1,
                b'(' => depth += 1,
                _ => (),
            }
            ahead += 1;
        }
        false
    }

    /// Copies an expression in brackets, which must not contain a command.
    fn expression(&mut self, open: u8, close: u8) -> Option<()> {
        self.copy();
        let mut depth = 0;
        loop {
            let byte = self.peek(0)?;
            let is_command = byte == b'$' && self.peek(1) == Some(b'(');
            if byte == b'`' || is_command {
                return None;
            }
            self.copy();
            depth += i32::from(byte == open) - i32::from(byte == close);
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// The text in parentheses, without the last one. `parse_comm` knows quotes and no backslashes.
    fn parentheses(&mut self) -> Option<Vec<u8>> {
        let mut command = Vec::new();
        let (mut depth, mut quote) = (1, None);
        loop {
            let byte = self.skip()?;
            match (byte, quote) {
                (b'\'' | b'"', None) => quote = Some(byte),
                (_, Some(open)) if open == byte => quote = None,
                (b'(', None) => depth += 1,
                (b')', None) => depth -= 1,
                _ => (),
            }
            if depth == 0 {
                return Some(command);
            }
            command.push(byte);
        }
    }

    /// The text between backticks (`parse_backtick`): a backslash is removed, but between single quotes only before some
    /// bytes.
    fn backticks(&mut self, quoted: bool) -> Option<()> {
        self.at += 1;
        let mut command = Vec::new();
        let mut single = false;
        loop {
            match self.skip()? {
                b'`' => return self.add(command, quoted),
                b'\\' => match self.skip()? {
                    b'\n' => (),
                    byte if single && !b"$`\"\\".contains(&byte) => command.extend([b'\\', byte]),
                    byte => command.push(byte),
                },
                byte => {
                    single ^= byte == b'\'';
                    command.push(byte);
                }
            }
        }
    }
}

/// Output as text for use between double quotes, without the newlines at its end.
pub(crate) fn quoted(output: &[u8]) -> Vec<u8> {
    let end = output
        .iter()
        .rposition(|&byte| byte != b'\n')
        .map_or(0, |at| at + 1);
    let mut text = Vec::new();
    for &byte in &output[..end] {
        if b"\\$`\"".contains(&byte) {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text
}

/// The state of the splitting (`exec_comm`).
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before a field: blanks are skipped.
    Before,
    Field,
    /// After blanks: one separator that is not a blank belongs to them.
    AfterBlank,
    /// After newlines, which may be the last bytes.
    AfterNewline,
}

/// Output as words: it is split at the bytes of `separators` (`IFS`), and each field is quoted.
pub(crate) fn split(output: &[u8], separators: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut field = Vec::new();
    let mut state = State::Before;
    for &byte in output {
        let is_separator = separators.contains(&byte);
        let is_blank = is_separator && b" \t\n".contains(&byte);
        let next = match (is_separator, is_blank, byte, state) {
            (false, ..) => State::Field,
            (_, false, _, State::AfterBlank) => {
                state = State::Before;
                continue;
            }
            (_, false, ..) => State::Before,
            (_, _, b'\n', State::Field) => {
                state = State::AfterNewline;
                continue;
            }
            (_, _, b'\n', _) | (_, _, _, State::Before | State::AfterBlank) => continue,
            _ => State::AfterBlank,
        };
        if is_separator || state == State::AfterNewline {
            end_field(&mut text, &mut field);
        }
        if !is_separator {
            field.push(byte);
        }
        state = next;
    }
    // Newlines that are not separators.
    while field.last() == Some(&b'\n') {
        field.pop();
    }
    quote(&mut text, &field);
    text
}

/// Ends a field. An empty field becomes empty quotes, which glibc accepts as a word only if nothing is before them.
fn end_field(text: &mut Vec<u8>, field: &mut Vec<u8>) {
    if field.is_empty() {
        text.extend(b"''");
    }
    quote(text, field);
    text.push(b' ');
    field.clear();
}

/// Puts single quotes around everything except single quotes.
fn quote(text: &mut Vec<u8>, field: &[u8]) {
    for (index, part) in field.split(|&byte| byte == b'\'').enumerate() {
        if index > 0 {
            text.extend(b"\\'");
        }
        if !part.is_empty() {
            text.push(b'\'');
            text.extend(part);
            text.push(b'\'');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(words: &str) -> Option<Vec<String>> {
        let command = |piece| match piece {
            Piece::Command { command, quoted } => {
                let mark = if quoted { "\"" } else { "" };
                let text = String::from_utf8(command).unwrap();
                Some(format!("{mark}{text}{mark}"))
            }
            Piece::Text(_) => None,
        };
        let pieces = parse(words.as_bytes())?;
        Some(pieces.into_iter().filter_map(command).collect())
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn commands_are_found_where_the_c_library_finds_them() {
        for (words, expected) in [
            ("plain", &[][..]),
            ("$(a b)c`d`", &["a b", "d"]),
            ("\"x $(a) `b`\"", &["\"a\"", "\"b\""]),
            ("'$(a)' \\$(", &[]),
            ("$(a $(b) \")\" ')' (c))", &["a $(b) \")\" ')' (c)"]),
            ("$((1 + (2))) $(x)", &["x"]),
            ("$((a) && (b))", &["(a) && (b)"]),
            ("`a \\`b\\` '\\n\\\\'`", &["a `b` '\\n\\'"]),
            ("${x:-y} $[1] $x $ $(z)", &["z"]),
        ] {
            let expected = expected.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(commands(words), Some(expected), "{words}");
        }
    }

    #[test]
    fn what_cannot_be_taken_apart_is_left_alone() {
        for words in [
            "$(a",
            "`a",
            "'$(a)",
            "\"$(a)",
            "${x:-$(a)}",
            "$((1 + `a`))",
            "*$(a)",
            "~$(a)",
        ] {
            assert_eq!(commands(words), None, "{words}");
        }
    }

    #[test]
    fn output_is_split_at_separators() {
        for (output, separators, expected) in [
            ("a b\n", " \t\n", "'a' 'b'"),
            (" a  b \n\n", " \t\n", "'a' 'b' "),
            ("a\nb\n", " \t\n", "'a' 'b'"),
            ("a:b::c", ":", "'a' 'b' '' 'c'"),
            ("a : b", " :", "'a' 'b'"),
            ("it's", " ", "'it'\\''s'"),
            ("a b\n\n", "", "'a b'"),
            ("\n", " \n", ""),
        ] {
            assert_eq!(
                text(split(output.as_bytes(), separators.as_bytes())),
                expected,
                "{output:?}"
            );
        }
    }

    #[test]
    fn output_between_quotes_is_escaped() {
        assert_eq!(
            text(quoted(b"a \"b\" $c `d` \\\n\n")),
            "a \\\"b\\\" \\$c \\`d\\` \\\\"
        );
    }
}
