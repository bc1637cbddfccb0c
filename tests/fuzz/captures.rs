//! Captures: what is written is read back, and any two of them can be compared, shown and followed.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary as _, Result, Unstructured};
use supplant_inspect::layout::Origin;
use supplant_inspect::layout::from_snapshot::of_snapshot;
use supplant_inspect::snapshot::diff::{Entry, Report, diff};
use supplant_inspect::snapshot::noise::Noise;
use supplant_inspect::snapshot::symbols::Symbols;
use supplant_inspect::snapshot::{Facts, Program, Region, Snapshot, VERSION, Value};
use supplant_loader::Difference;

use crate::layouts;
use crate::maps;
use crate::program::value;

/// Keys whose values the comparison looks at.
const KEYS: [&str; 28] = [
    "reg.ip",
    "reg.sp",
    "reg.flags",
    "auxv.AT_PHDR",
    "auxv.AT_BASE",
    "auxv.AT_ENTRY",
    "auxv.AT_RANDOM",
    "auxv.AT_SYSINFO_EHDR",
    "auxv.AT_PAGESZ",
    "saved_auxv.AT_PHDR",
    "saved_auxv.AT_BASE",
    "saved_auxv.AT_RANDOM",
    "saved_auxv.AT_SYSINFO_EHDR",
    "stat.start_brk",
    "stat.startstack",
    "stat.startcode",
    "stat.arg_start",
    "stat.env_end",
    "fd.3.target",
    "fd.10.target",
    "signal.INT.handler",
    "thread.rseq",
    "exe",
    "personality",
    "limits",
    "place.order",
    "place.stack",
    "status.CapEff",
];
const TEXTS: [&str; 8] = [
    "",
    "pipe:[4711]",
    "socket:[1]",
    "/program",
    "00040000\\n",
    "Max stack size  8388608  unlimited  bytes\\n",
    "\u{0}\u{202e}",
    "0x1000",
];
const DIFFERENCES: [Difference; 9] = [
    Difference::Unnoticed,
    Difference::Executable,
    Difference::Layout,
    Difference::Bounds,
    Difference::LastJump,
    Difference::Page,
    Difference::Capabilities,
    Difference::MmapBase,
    Difference::Reserved,
];

/// Runs the target.
pub fn run(data: &[u8]) {
    if let Ok(snapshot) = serde_json::from_slice::<Snapshot>(data)
        && snapshot.check().is_ok()
    {
        check(&snapshot);
    }
    let mut u = Unstructured::new(data);
    let Ok(left) = snapshot(&mut u) else { return };
    let Ok(right) = variant(&mut u, &left) else {
        return;
    };
    if left.check().is_ok() {
        check(&left);
        if right.check().is_ok() {
            compared(&left, &right);
        }
    }
}

/// The report is written and read, and says the same if the sides change places.
fn compared(left: &Snapshot, right: &Snapshot) {
    let report = diff(left, right);
    let text = serde_json::to_string(&report).expect("a report can be written");
    let again: Report = serde_json::from_str(&text).expect("it was just written");
    assert_eq!(again, report);
    // Pages are named by the size on the left.
    if left.page_size == right.page_size {
        let swapped = sides(&diff(right, left)).into_iter();
        let swapped: Vec<_> = swapped
            .map(|(key, [left, right])| (key, [right, left]))
            .collect();
        assert_eq!(sides(&report), swapped);
    }
    let mut marked = report;
    Noise::between(left, [right]).mark(&mut marked);
    assert_eq!(marked.different().count(), 0, "all that differs is noise");
}

/// The keys, and on which sides they are.
fn sides(report: &Report) -> Vec<(String, [bool; 2])> {
    let entries = report.entries.iter();
    let side = |entry: &Entry| [entry.left.is_some(), entry.right.is_some()];
    entries
        .map(|entry| (entry.key.clone(), side(entry)))
        .collect()
}

fn check(snapshot: &Snapshot) {
    let text = serde_json::to_vec(snapshot).expect("a snapshot can be written");
    let again: Snapshot = serde_json::from_slice(&text).expect("it was just written");
    assert_eq!(again, *snapshot);
    let report = diff(snapshot, snapshot);
    assert!(report.entries.is_empty(), "{:?}", report.entries);
    let _ = snapshot.observed().choices();
    let symbols = Symbols::new(snapshot);
    for address in snapshot
        .regions
        .iter()
        .flat_map(|region| [region.start, region.end])
    {
        let _ = (
            symbols.name(address),
            symbols.of_program(address),
            symbols.is_address(address),
        );
    }
    let mut numbered = snapshot.clone();
    numbered.number_pipes();
    if let Ok(evidence) = of_snapshot("capture", Origin::Capture, snapshot) {
        layouts::check(&evidence);
    }
}

fn snapshot(u: &mut Unstructured<'_>) -> Result<Snapshot> {
    let mut values = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=24)? {
        values.insert((*u.choose(&KEYS)?).to_owned(), any_value(u)?);
    }
    let size: u64 = *u.choose(&[4096, 4096, 4096, 16384, 65536, 0, 3])?;
    let mut snapshot = Snapshot {
        version: VERSION,
        values,
        page_size: size,
        regions: Vec::new(),
        ran: u.arbitrary()?,
        program: Program {
            file: u.arbitrary()?,
            interpreter: u.arbitrary()?,
            range: Option::<(u64, u64)>::arbitrary(u)?.map(|(start, end)| start..end),
        },
        facts: facts(u)?,
        random: u
            .arbitrary::<Option<u128>>()?
            .map(|bytes| format!("{bytes:032x}")),
    };
    for mapping in maps::mappings(u)? {
        let sharing = if mapping.shared { 's' } else { 'p' };
        let (major, minor) = mapping.device;
        let room = (mapping.range.end - mapping.range.start) / snapshot.page().get();
        let count = u.int_in_range(0..=3)?.min(room);
        snapshot.regions.push(Region {
            start: mapping.range.start,
            end: mapping.range.end,
            permissions: format!("{}{sharing}", mapping.permissions),
            offset: mapping.offset,
            file: (major, minor, mapping.inode),
            name: String::from_utf8_lossy(&mapping.name).into_owned(),
            flags: "rd wr".to_owned(),
            attributes: String::new(),
            anonymous: u.arbitrary::<u8>()?.into(),
            pages_from: if u.ratio(1, 16)? {
                value(u)?
            } else {
                mapping.range.start
            },
            pages: (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?,
        });
    }
    Ok(snapshot)
}

fn any_value(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=3_u8)? {
        0 => Value::Number(value(u)?),
        1 => Value::Text((*u.choose(&TEXTS)?).to_owned()),
        2 => Value::Random((*u.choose(&TEXTS)?).to_owned()),
        _ => Value::Address(value(u)?),
    })
}

fn facts(u: &mut Unstructured<'_>) -> Result<Facts> {
    let count = u.int_in_range(0..=3)?;
    let differences = (0..count).map(|_| Ok(*u.choose(&DIFFERENCES)?));
    Ok(Facts {
        differences: differences.collect::<Result<_>>()?,
        ours: u.arbitrary()?,
    })
}

/// The same with a few changes.
fn variant(u: &mut Unstructured<'_>, of: &Snapshot) -> Result<Snapshot> {
    if u.ratio(1, 4)? {
        return snapshot(u);
    }
    let mut changed = of.clone();
    for _ in 0..u.int_in_range(0..=3)? {
        changed
            .values
            .insert((*u.choose(&KEYS)?).to_owned(), any_value(u)?);
    }
    if !changed.regions.is_empty() {
        let index = u.choose_index(changed.regions.len())?;
        match u.int_in_range(0..=4_u8)? {
            0 => drop(changed.regions.remove(index)),
            1 => changed.regions[index].pages.push(u.arbitrary()?),
            2 => "---p".clone_into(&mut changed.regions[index].permissions),
            3 => changed.regions[index].end = value(u)?,
            _ => (),
        }
    }
    if u.arbitrary()? {
        changed.facts = facts(u)?;
    }
    Ok(changed)
}
