//! Writes rows in strace(1)'s notation: constants by their names, structures by their fields.

use std::fmt::Write as _;

use nix::sys::signal::Signal;

use crate::table::{Argument, Row};

use forms::Form::{self, Action, Address, Bits, Hex, Limits, Mask, Number, OneOf, Stack};
use forms::{FORMS, MM_MAP, Names, PRCTL};

mod forms;

/// The call with its arguments, without its reason. `data` are the bytes of its table.
pub fn notation(row: &Row, data: &[u8]) -> String {
    let call = Call { row, data };
    let arguments = call.arguments();
    format!("{}({})", row.call.name, arguments.join(", "))
}

struct Call<'a> {
    row: &'a Row,
    data: &'a [u8],
}

impl Call<'_> {
    fn arguments(&self) -> Vec<String> {
        let name = self.row.call.name;
        let forms = FORMS.iter().find(|(call, _)| *call == name);
        let forms = forms.map_or(&[][..], |(_, forms)| *forms);
        let form = |index| forms.get(index).copied().unwrap_or(Number);
        let shown = |index| self.shown(index, form(index));
        let mut arguments: Vec<_> = (0..self.row.arguments().len()).map(shown).collect();
        if name == "prctl" {
            self.name_prctl(&mut arguments);
        }
        arguments
    }

    fn shown(&self, index: usize, form: Form) -> String {
        match form {
            Address => self.address(index),
            Hex => self.hex(index),
            Number => self.number(index),
            Bits(names, none) => self.bits(index, names, none),
            OneOf(names) => self.one_of(index, names),
            Form::Signal => signal(self.value(index) as i32),
            Limits => self.limits(index),
            Action => self.action(index),
            Mask => self.mask(index),
            Stack => self.stack(index),
        }
    }

    fn argument(&self, index: usize) -> Argument {
        let arguments = self.row.arguments();
        arguments.get(index).copied().unwrap_or(Argument::Value(0))
    }

    fn value(&self, index: usize) -> i64 {
        match self.argument(index) {
            Argument::Value(value) => value as i64,
            Argument::Data { .. } | Argument::FileOffset { .. } => 0,
        }
    }

    /// Small numbers, and small negative ones, in decimal.
    fn number(&self, index: usize) -> String {
        match self.argument(index) {
            Argument::Value(value) if (-4096..1000).contains(&(value as i64)) => {
                (value as i64).to_string()
            }
            _ => self.hex(index),
        }
    }

    fn hex(&self, index: usize) -> String {
        match self.argument(index) {
            Argument::Value(0) => "0".to_owned(),
            Argument::Value(value) => format!("{value:#x}"),
            Argument::Data { offset } => format!("table+{offset:#x}"),
            Argument::FileOffset { offset } => format!("offset of table+{offset:#x}"),
        }
    }

    fn address(&self, index: usize) -> String {
        match self.argument(index) {
            Argument::Value(0) => "NULL".to_owned(),
            _ => self.hex(index),
        }
    }

    fn bits(&self, index: usize, names: Names, none: &str) -> String {
        let mut rest = self.value(index);
        let mut words = Vec::new();
        for &(bit, name) in names
            .iter()
            .filter(|(bit, _)| self.value(index) & bit == *bit)
        {
            rest &= !bit;
            words.push(name.to_owned());
        }
        if rest != 0 {
            words.push(format!("{rest:#x}"));
        }
        if words.is_empty() {
            none.to_owned()
        } else {
            words.join("|")
        }
    }

    fn one_of(&self, index: usize, names: Names) -> String {
        let name = names.iter().find(|(value, _)| *value == self.value(index));
        name.map_or_else(|| self.number(index), |(_, name)| (*name).to_owned())
    }

    /// The words that an argument points to; `None` if it is not a pointer into the table.
    fn words<const N: usize>(&self, index: usize) -> Option<[u64; N]> {
        let Argument::Data { offset } = self.argument(index) else {
            return None;
        };
        let bytes = self.data.get(offset..offset + N * 8)?;
        let (words, _) = bytes.as_chunks();
        let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
        Some(std::array::from_fn(|_| words.next().unwrap_or_default()))
    }

    /// The arguments of prctl(2) depend on the first one.
    fn name_prctl(&self, arguments: &mut [String]) {
        let option = self.one_of(0, PRCTL);
        match (option.as_str(), arguments.len()) {
            ("PR_SET_MM", 3..) => {
                "PR_SET_MM_MAP".clone_into(&mut arguments[1]);
                arguments[2] = self.memory_map(2);
            }
            ("PR_SET_NAME", 2..) => arguments[1] = self.text(1),
            _ => (),
        }
        if let Some(first) = arguments.first_mut() {
            *first = option;
        }
    }

    fn memory_map(&self, index: usize) -> String {
        let Some(words) = self.words::<13>(index) else {
            return self.address(index);
        };
        let mut text = String::from("{");
        for (name, word) in MM_MAP.iter().zip(words) {
            let _ = write!(text, "{name}={word:#x}, ");
        }
        let (size, file) = (words[12] as u32, (words[12] >> 32) as i32);
        let _ = write!(text, "auxv_size={size}, exe_fd={file}}}");
        text
    }

    fn text(&self, index: usize) -> String {
        let Some(words) = self.words::<2>(index) else {
            return self.address(index);
        };
        let bytes = words.map(u64::to_ne_bytes).concat();
        let end = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        format!("{:?}", String::from_utf8_lossy(&bytes[..end]))
    }

    fn limits(&self, index: usize) -> String {
        match self.words::<2>(index) {
            Some([current, maximum]) => format!(
                "{{rlim_cur={}, rlim_max={}}}",
                limit(current),
                limit(maximum)
            ),
            None => self.address(index),
        }
    }

    /// The kernel's form: handler, flags, restorer, mask.
    fn action(&self, index: usize) -> String {
        let Some([handler, flags, _, mask]) = self.words::<4>(index) else {
            return self.address(index);
        };
        let handler = match handler {
            0 => "SIG_DFL".to_owned(),
            1 => "SIG_IGN".to_owned(),
            other => format!("{other:#x}"),
        };
        format!(
            "{{sa_handler={handler}, sa_mask={}, sa_flags={flags:#x}}}",
            signals(mask)
        )
    }

    fn mask(&self, index: usize) -> String {
        self.words::<1>(index)
            .map_or_else(|| self.address(index), |[mask]| signals(mask))
    }

    fn stack(&self, index: usize) -> String {
        const SS_DISABLE: u64 = 2;
        match self.words::<3>(index) {
            Some([0, SS_DISABLE, 0]) => "{ss_sp=NULL, ss_flags=SS_DISABLE, ss_size=0}".to_owned(),
            _ => self.address(index),
        }
    }
}

fn limit(value: u64) -> String {
    match value {
        u64::MAX => "RLIM64_INFINITY".to_owned(),
        value => format!("{value:#x}"),
    }
}

fn signal(number: i32) -> String {
    const FIRST_REAL_TIME: i32 = 32;
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if number == FIRST_REAL_TIME => "SIGRTMIN".to_owned(),
        Err(_) if number > FIRST_REAL_TIME => format!("SIGRT_{}", number - FIRST_REAL_TIME),
        Err(_) => number.to_string(),
    }
}

/// A set of signals; if it has more than half of them, by the missing signals.
fn signals(mask: u64) -> String {
    let inverted = mask.count_ones() > u64::BITS / 2;
    let shown = if inverted { !mask } else { mask };
    let names = (0..u64::BITS)
        .filter(|bit| shown >> bit & 1 != 0)
        .map(|bit| signal(bit as i32 + 1));
    let names: Vec<_> = names
        .map(|name| name.trim_start_matches("SIG").to_owned())
        .collect();
    format!("{}[{}]", if inverted { "~" } else { "" }, names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, call};

    #[test]
    fn constants_have_their_names_and_addresses_are_hexadecimal() {
        let mmap = |prot: i32, flags: i32, file: i32| {
            let arguments = [
                0x40_0000_u64.into(),
                0x1000_u64.into(),
                prot.into(),
                flags.into(),
                file.into(),
                0.into(),
            ];
            notation(&Row::must(call::MMAP, &arguments, "why"), &[])
        };
        assert_eq!(
            mmap(5, 0x12, 3),
            "mmap(0x400000, 0x1000, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED, 3, 0)"
        );
        assert_eq!(
            mmap(0, 0x8032, -1),
            "mmap(0x400000, 0x1000, PROT_NONE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS|0x8000, -1, 0)"
        );
        let row = Row::must(call::MUNMAP, &[0.into(), 0x7fff_0000_u64.into()], "why");
        assert_eq!(notation(&row, &[]), "munmap(NULL, 0x7fff0000)");
    }

    #[test]
    fn what_an_argument_points_to_is_shown() {
        let mut table = Table::default();
        let name = table.data(b"program\0\0\0\0\0\0\0\0\0");
        table.must(call::PRCTL, &[15.into(), name], "name");
        let mask = table.data(&0b10_u64.to_ne_bytes());
        table.must(
            call::RT_SIGPROCMASK,
            &[2.into(), mask, 0.into(), 8.into()],
            "mask",
        );
        let action = table.data(&[1_u64, 0, 0, 0].map(u64::to_ne_bytes).concat());
        table.must(
            call::RT_SIGACTION,
            &[13.into(), action, 0.into(), 8.into()],
            "action",
        );
        let shown: Vec<_> = table
            .rows()
            .iter()
            .map(|row| notation(row, table.bytes()))
            .collect();
        let expected = [
            "prctl(PR_SET_NAME, \"program\")",
            "rt_sigprocmask(SIG_SETMASK, [INT], NULL, 8)",
            "rt_sigaction(SIGPIPE, {sa_handler=SIG_IGN, sa_mask=[], sa_flags=0x0}, NULL, 8)",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn sets_of_most_signals_are_shown_by_what_is_missing() {
        assert_eq!(
            (signals(u64::MAX), signals(!1), signals(1 << 33)),
            ("~[]".into(), "~[HUP]".into(), "[RT_2]".into())
        );
    }

    #[test]
    fn data_that_is_not_there_is_shown_as_an_address() {
        let row = Row::must(
            call::PRCTL,
            &[
                35.into(),
                14.into(),
                Argument::Data { offset: 8 },
                104.into(),
                0.into(),
            ],
            "map",
        );
        assert_eq!(
            notation(&row, &[0; 16]),
            "prctl(PR_SET_MM, PR_SET_MM_MAP, table+0x8, 104, 0)"
        );
    }
}
