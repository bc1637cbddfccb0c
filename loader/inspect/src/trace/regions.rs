//! Records the mappings of a process, and the contents of their pages.

use crate::auxv::AT_RANDOM;
use crate::maps::Mapping;
use crate::snapshot::settle::Words;
use crate::snapshot::symbols::Symbols;
use crate::snapshot::{Region, Snapshot};
use crate::stack::DecodedStack;

use super::memory::Memory;

/// Lines of smaps that describe the mapping itself, and do not depend on which pages were touched.
const ATTRIBUTES: [&str; 4] = ["KernelPageSize", "MMUPageSize", "Locked", "ProtectionKey"];
/// An attribute that depends on the addresses: whether huge pages fit.
const ATTRIBUTE_BY_PLACE: &str = "THPeligible";
/// The contents of a larger mapping (4 GiB) are not read: some programs reserve many TiB.
pub(super) const MOST_PAGES: u64 = 1 << 20;

/// Records the mappings, without their pages.
pub(super) fn record(snapshot: &mut Snapshot, mappings: &[Mapping], smaps: &str, fixed: bool) {
    let mut details = details(smaps).into_iter();
    snapshot.regions = mappings
        .iter()
        .map(|mapping| region(mapping, &details.next().unwrap_or_default(), fixed))
        .collect();
}

/// The lines of each mapping in smaps, as names and values.
fn details(smaps: &str) -> Vec<Vec<(&str, &str)>> {
    let mut all: Vec<Vec<(&str, &str)>> = Vec::new();
    for line in smaps.lines() {
        let word = line.split(' ').next().unwrap_or_default();
        match (word.strip_suffix(':'), all.last_mut()) {
            (Some(name), Some(last)) => last.push((name, line[word.len()..].trim())),
            _ => all.push(Vec::new()),
        }
    }
    all
}

fn region(mapping: &Mapping, details: &[(&str, &str)], fixed: bool) -> Region {
    let value = |name: &str| {
        let found = details.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.trim_end_matches(" kB"))
    };
    let names = ATTRIBUTES.into_iter();
    let attributes: Vec<_> = names
        .chain(fixed.then_some(ATTRIBUTE_BY_PLACE))
        .filter_map(|name| Some(format!("{name} {}", value(name)?)))
        .collect();
    Region {
        start: mapping.range.start,
        end: mapping.range.end,
        permissions: permissions(mapping),
        offset: mapping.offset,
        file: (mapping.device.0, mapping.device.1, mapping.inode),
        name: String::from_utf8_lossy(&mapping.name).into_owned(),
        flags: value("VmFlags").unwrap_or_default().to_owned(),
        attributes: attributes.join(" "),
        anonymous: value("Anonymous")
            .and_then(|kib| kib.parse().ok())
            .unwrap_or(0),
        pages_from: mapping.range.start,
        pages: Vec::new(),
    }
}

fn permissions(mapping: &Mapping) -> String {
    let flag = |yes: bool, letter: char| if yes { letter } else { '-' };
    [
        flag(mapping.permissions.read, 'r'),
        flag(mapping.permissions.write, 'w'),
        flag(mapping.permissions.execute, 'x'),
        if mapping.shared { 's' } else { 'p' },
    ]
    .iter()
    .collect()
}

/// Records the contents of the pages. The vDSO's data changes by itself. The items of the stack are compared separately;
/// if nothing is random, its bytes are compared too, from the stack pointer on.
pub(super) fn pages(
    snapshot: &mut Snapshot,
    memory: &Memory,
    pid: i32,
    stack: Option<&DecodedStack>,
    fixed: bool,
) {
    let symbols = Symbols::new(snapshot);
    let words = words(&symbols, snapshot, pid).filter(|_| snapshot.ran);
    let sp = snapshot.number("reg.sp").unwrap_or(0);
    let page = snapshot.page();
    let random = stack.and_then(|stack| stack.auxv.get(AT_RANDOM));
    for region in &mut snapshot.regions {
        match region.name.as_str() {
            "[vsyscall]" => (),
            name if name.starts_with("[vvar") => (),
            "[stack]" if fixed && region.start <= sp && sp < region.end => {
                region.pages_from = page.floor(sp);
                region.pages = memory.hashes(region.pages_from..region.end, false, |at, page| {
                    settle_stack(page, at, sp, random);
                });
            }
            "[stack]" => (),
            _ if (region.end - region.start) / page.get() > MOST_PAGES => (),
            _ => {
                let anonymous = region.file.2 == 0 && region.name != "[vdso]";
                region.pages = memory.hashes(region.start..region.end, anonymous, |at, page| {
                    if let Some(words) = &words {
                        words.settle(at, page);
                    }
                });
            }
        }
    }
}

/// The meanings of the words of this process.
pub(super) fn words<'a>(symbols: &'a Symbols, snapshot: &Snapshot, pid: i32) -> Option<Words<'a>> {
    let random = snapshot.random.as_deref();
    let random = random.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    let [rseq, thread] = ["thread.rseq", "reg.tls"].map(|key| snapshot.number(key).unwrap_or(0));
    Some(Words::new(
        symbols,
        random.map_or([0; 16], u128::to_be_bytes),
        u64::try_from(pid).ok()?,
        thread,
        rseq,
    ))
}

/// Clears the bytes below the stack pointer, which are compared elsewhere, and the random bytes.
pub(super) fn settle_stack(page: &mut [u8], at: u64, sp: u64, random: Option<u64>) {
    let size = page.len();
    let place = |address: u64| (address.saturating_sub(at) as usize).min(size);
    let mut clear = |from: u64, to: u64| {
        page[place(from)..place(to).max(place(from))].fill(0);
    };
    clear(at, sp);
    if let Some(random) = random {
        clear(random, random.saturating_add(16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_smaps_go_to_their_mappings() {
        let smaps = "1000-2000 r--p 00000000 00:00 0   /a: b\nSize:  4 kB\nAnonymous:  8 kB\nVmFlags: rd mr\n\
                     3000-4000 rw-p 00000000 00:00 0 \nSize:  4 kB\n";
        let expected = vec![
            vec![
                ("Size", "4 kB"),
                ("Anonymous", "8 kB"),
                ("VmFlags", "rd mr"),
            ],
            vec![("Size", "4 kB")],
        ];
        assert_eq!(details(smaps), expected);
    }

    #[test]
    fn of_the_stack_what_is_below_its_pointer_and_the_random_bytes_do_not_count() {
        let mut page = [1; 64];
        settle_stack(&mut page, 0x1000, 0x1008, Some(0x1010));
        assert_eq!(page.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 40);
        settle_stack(&mut page, 0x1000, 0x5000, Some(u64::MAX));
        assert_eq!(page, [0; 64]);
    }
}
