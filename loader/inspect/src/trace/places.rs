//! Records the relative positions of the parts of a process, and their addresses if nothing is random.

use crate::snapshot::symbols::Symbols;
use crate::snapshot::{Snapshot, Value};

/// Records the order of the parts; also the addresses themselves if nothing is random.
pub(super) fn record(snapshot: &mut Snapshot, fixed: bool) {
    let symbols = Symbols::new(snapshot);
    let by_chance = !fixed && vdso_lies_by_chance(snapshot, &symbols);
    let mut order = String::new();
    let mut end = 0;
    for (index, region) in snapshot.regions.iter().enumerate() {
        if by_chance && ["vdso", "vvar", "vvar_vclock"].contains(&symbols.label(index)) {
            continue;
        }
        order.push_str(if region.start == end { "+" } else { " " });
        order.push_str(symbols.label(index));
        end = region.end;
    }
    let labels: Vec<_> = (0..snapshot.regions.len())
        .map(|index| symbols.label(index).to_owned())
        .collect();
    snapshot.set("place.order", Value::Text(order.trim().to_owned()));
    heap_distance(snapshot, &labels, fixed);
    if fixed {
        let starts: Vec<_> = snapshot.regions.iter().map(|region| region.start).collect();
        for (label, start) in labels.iter().zip(starts).rev() {
            snapshot.set(format!("place.{label}"), Value::Text(format!("{start:#x}")));
        }
    }
}

/// Whether the place of the vDSO is random. A program without an interpreter is placed among the other mappings. A large or
/// aligned program is moved down from the random base; the base then decides whether the vDSO has room above it.
fn vdso_lies_by_chance(snapshot: &Snapshot, symbols: &Symbols) -> bool {
    const NEAR: u64 = 1 << 40;
    let start = |label: &str| {
        let index = (0..snapshot.regions.len()).find(|&index| symbols.label(index) == label)?;
        Some(snapshot.regions[index].start)
    };
    let near = |(program, vdso): (u64, u64)| program.abs_diff(vdso) < NEAR;
    start("interp").is_none() && start("exe").zip(start("vdso")).is_some_and(near)
}

/// The distance from the end of the program to the start of the heap: random, less than 1 GiB and a page, or zero.
fn heap_distance(snapshot: &mut Snapshot, labels: &[String], fixed: bool) {
    const RANGE: u64 = (1 << 30) + 0x1000;
    let Some(heap) = snapshot.number("stat.start_brk") else {
        return;
    };
    let program = snapshot
        .regions
        .iter()
        .zip(labels)
        .filter(|(_, label)| label.starts_with("exe"));
    let end = program
        .map(|(region, _)| region.end)
        .filter(|&end| end <= heap)
        .max();
    let value = match end.map(|end| heap - end) {
        Some(distance) if !fixed && distance < RANGE => Value::Random("distance".to_owned()),
        Some(distance) => Value::Number(distance),
        None => Value::Text("elsewhere".to_owned()),
    };
    snapshot.set("heap.distance", value);
}
