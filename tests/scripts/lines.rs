//! The first 256 bytes of a script: hand-written, at every length around the end, and random.

use libtest_mimic::{Failed, Trial};

use crate::{compare, fixture, script};
use support::Ending;
use support::refused::{all, expect, same_by_all};
use support::trials::trial;

/// The start of a program, and the errno if it is rejected.
const LINES: [(&str, &[u8], Option<i32>); 44] = [
    ("a_name", b"#!i\n", None),
    ("a_name_and_more_lines", b"#!i\nsecond line\n", None),
    ("a_name_and_the_end", b"#!i", None),
    ("an_argument", b"#!i a\n", None),
    ("an_argument_and_the_end", b"#!i a", None),
    ("an_argument_with_blanks_inside", b"#!i a  b\tc\n", None),
    ("blanks_before_the_name", b"#! \t i a\n", None),
    ("blanks_before_the_argument", b"#!i \t \t a\n", None),
    ("blanks_after_the_argument", b"#!i a \t \n", None),
    ("blanks_after_the_name", b"#!i \t \n", None),
    ("blanks_after_the_argument_and_the_end", b"#!i a \t ", None),
    ("a_blank_after_the_name_and_the_end", b"#!i ", None),
    ("blanks_after_the_name_and_the_end", b"#!i \t ", None),
    ("an_argument_that_looks_like_a_line", b"#!i #!i\n", None),
    ("a_tab_before_the_argument", b"#!i\ta\n", None),
    ("a_carriage_return_after_the_argument", b"#!i a\r\n", None),
    ("a_carriage_return_between", b"#!i \r\n", None),
    (
        "a_vertical_tab_before_the_argument",
        b"#!i \x0ba\x0c\n",
        None,
    ),
    ("a_nul_after_the_name", b"#!i\0a b\n", None),
    ("a_nul_after_the_name_and_blanks", b"#!i\0 a\n", None),
    ("a_nul_in_the_argument", b"#!i a\0b\n", None),
    ("a_nul_for_the_argument", b"#!i \0b\n", None),
    ("a_nul_before_the_newline", b"#!i a \0 \n", None),
    ("bytes_that_are_no_text", b"#!i \xff\xfe\x80\n", None),
    ("a_dot_and_a_slash", b"#!./i a\n", None),
    ("another_directory", b"#!x/i a\n", None),
    ("many_slashes", b"#!.//x///i a\n", None),
    ("a_quoted_argument", b"#!i 'a b' \"c\" $d\n", None),
    (
        "a_carriage_return_after_the_name",
        b"#!i\r\n",
        Some(libc::ENOENT),
    ),
    (
        "a_form_feed_before_the_name",
        b"#!\x0ci\n",
        Some(libc::ENOENT),
    ),
    ("a_quoted_name", b"#!'i'\n", Some(libc::ENOENT)),
    ("nothing_there", b"#!nothing\n", Some(libc::ENOENT)),
    ("a_slash_after_the_name", b"#!i/\n", Some(libc::ENOTDIR)),
    ("a_directory", b"#!x\n", Some(libc::EACCES)),
    ("the_working_directory", b"#!.\n", Some(libc::EACCES)),
    ("the_root_directory", b"#!/\n", Some(libc::EACCES)),
    ("no_name", b"#!\n", Some(libc::ENOEXEC)),
    ("only_blanks", b"#! \t \n", Some(libc::ENOEXEC)),
    ("no_name_but_a_second_line", b"#!\ni\n", Some(libc::ENOEXEC)),
    ("no_name_and_the_end", b"#!", Some(libc::EACCES)),
    ("only_blanks_and_the_end", b"#! \t ", Some(libc::EACCES)),
    ("a_nul_for_the_name", b"#!\0i\n", Some(libc::EACCES)),
    (
        "blanks_and_a_nul_for_the_name",
        b"#!  \0i\n",
        Some(libc::EACCES),
    ),
    ("a_hash_only", b"#", Some(libc::ENOEXEC)),
];

pub(crate) fn trials() -> Vec<Trial> {
    let by_hand = LINES.into_iter().map(|(name, line, errno)| {
        trial(format!("line_{name}"), None, move || by_hand(line, errno))
    });
    let long = (250..=258).map(|size| {
        trial(format!("lines_of_{size}_bytes"), None, move || {
            lines_of(size)
        })
    });
    let random = (1..=4).map(|seed| {
        trial(format!("random_lines_{seed}"), None, move || {
            random_lines(seed)
        })
    });
    by_hand.chain(long).chain(random).collect()
}

/// The errno only shows what the case is about: the kernel decides what is right.
fn by_hand(line: &[u8], errno: Option<i32>) -> Result<(), Failed> {
    let at = fixture();
    let kernel = same_by_all(&script(&at, "s", line))?;
    expect(&kernel, errno.map_or(Ending::Exited(42), Ending::Refused))
}

/// Names, blanks and arguments that end at this size, alone and with more bytes after them.
fn lines_of(size: usize) -> Result<(), Failed> {
    let at = fixture();
    let filled = |start: &str, fill: &str, end: &str| {
        let count = size - start.len() - end.len();
        format!("{start}{}{end}", fill.repeat(count))
    };
    let starts = [
        filled("#!x", "/", "i"),
        filled("#!x", "/", "i "),
        filled("#!x", "/", "i a"),
        filled("#!x", "/", "i ab"),
        filled("#!x", "/", "i\0"),
        filled("#!x", "/", "i\0a"),
        filled("#!nothing", "g", ""),
        filled("#!i ", "b", ""),
        filled("#!i ", "b", "c "),
        filled("#!i ", "b", " c"),
        filled("#!i ", "b", "\0c"),
        filled("#!i", " ", ""),
        filled("#!i", "\t", "b"),
        filled("#!i", " ", "bc"),
        filled("#!i b", " ", ""),
        filled("#!i b", " ", "c"),
        filled("#!", " ", "i"),
        filled("#!", " ", "i "),
        filled("#!", " ", "x/i"),
        filled("#!", " ", "x/i a"),
        filled("#!", "\t", ""),
        filled("#!", " ", "\0"),
    ];
    let ends = [
        "",
        "\n",
        " ",
        " \n",
        "\0",
        "d",
        "d\n",
        " d\n",
        "ddddd ddddd ddddd\n",
    ];
    let scripts = starts
        .iter()
        .flat_map(|start| ends.map(|end| format!("{start}{end}")));
    all(scripts
        .enumerate()
        .map(|(number, bytes)| (number, compare(&at, &format!("s{number}"), bytes))))
}

/// Lines of a few different bytes: short ones, and some with a length around the end of the bytes that are read.
fn random_lines(seed: u64) -> Result<(), Failed> {
    const ALPHABET: &[u8] = b"#! \t\n\0\r/ix i i ";
    let at = fixture();
    let mut random = Random(seed);
    let lines = (0..100).map(|number| {
        let mut line = if random.below(10) == 0 {
            Vec::new()
        } else {
            b"#!".to_vec()
        };
        let mut size = random.below(14);
        if random.below(4) == 0 {
            let filling = [b' ', b'/', b'i', b'\t'][random.below(4)];
            line.extend_from_slice(if filling == b'/' { b"x" } else { b"" });
            line.resize(240 + random.below(8), filling);
            size += 4;
        }
        line.extend((0..size).map(|_| ALPHABET[random.below(ALPHABET.len())]));
        (number, line)
    });
    all(lines.map(|(number, line)| (number, compare(&at, &format!("s{number}"), line))))
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}
