//! Layouts: the pieces of each mapping fill it, the bands hold every mapping once, and any two layouts can be compared.

use arbitrary::{Arbitrary as _, Unstructured};
use supplant_inspect::layout::pair::pairs;
use supplant_inspect::layout::{Band, Binary, Evidence, Item, Layout, from_plan};

use crate::load::Case;
use crate::program::value;

/// Runs the target: the layout of a plan.
pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(case) = Case::arbitrary(&mut u) else {
        return;
    };
    let Some(loaded) = case.load() else { return };
    let names = [b"/program".to_vec(), b"/interpreter".to_vec()];
    let (host, plan, stack) = (&loaded.host, &loaded.plan, &loaded.stack);
    let evidence = from_plan::of_plan("plan", plan, stack, host, &names);
    let mut evidence = evidence.expect("a plan has a stack, and its mappings are in order");
    let layout = check(&evidence);
    for (name, bytes) in names.iter().zip(case.files()) {
        if let Some(binary) = Binary::read(&bytes[..], "/file", bytes.len() as u64) {
            evidence.know(name, binary);
        }
    }
    let known = check(&evidence);
    if let Ok(address) = value(&mut u) {
        let _ = (known.locate(address), known.name(address));
    }
    compare(&layout, &known);
}

/// Checks the layout that follows from some evidence.
pub fn check(evidence: &Evidence) -> Layout {
    let layout = Layout::new(evidence);
    let ranges: Vec<_> = layout
        .regions
        .iter()
        .map(|region| region.range.clone())
        .collect();
    let mapped: Vec<_> = evidence
        .mappings
        .iter()
        .map(|mapping| mapping.range.clone())
        .collect();
    assert_eq!(ranges, mapped, "there is a region for each mapping");
    for region in &layout.regions {
        let mut end = region.range.start;
        for piece in &region.pieces {
            assert_eq!(piece.range.start, end, "{region:x?}");
            assert!(!piece.range.is_empty(), "{region:x?}");
            end = piece.range.end;
        }
        assert!(
            region.pieces.is_empty() || end == region.range.end,
            "{region:x?}"
        );
        assert!(region.file.is_none_or(|file| file < layout.files.len()));
        for address in [region.range.start, region.range.end - 1] {
            let _ = (layout.locate(address), layout.name(address));
        }
    }
    bands(&layout);
    for pointer in [0, 1, u64::MAX] {
        let _ = layout.locate(pointer);
    }
    assert!(serde_json::to_string(&layout).is_ok());
    let folded = layout.folded(4);
    assert!(folded.regions.len() <= layout.regions.len());
    compare(&layout, &layout);
    layout
}

/// Every region once, from low to high, with gaps that fit between.
fn bands(layout: &Layout) {
    let mut seen = vec![0; layout.regions.len()];
    for Band { items, name } in &layout.bands {
        let mut end = None;
        for item in items {
            let range = match item {
                Item::Region(index) => {
                    seen[*index] += 1;
                    &layout.regions[*index].range
                }
                Item::Gap { range, .. } => range,
            };
            assert!(range.start < range.end, "{name}: {range:x?}");
            assert!(
                end.is_none_or(|end| end <= range.start),
                "{name}: {range:x?}"
            );
            end = Some(range.end);
        }
    }
    assert!(seen.iter().all(|&count| count == 1), "{seen:?}");
}

/// Every region of both is in one pair.
fn compare(left: &Layout, right: &Layout) {
    let pairs = pairs(left, right);
    let mut sides = [vec![0; left.regions.len()], vec![0; right.regions.len()]];
    for pair in &pairs {
        assert!(pair.left.is_some() || pair.right.is_some());
        for (side, index) in sides.iter_mut().zip([pair.left, pair.right]) {
            if let Some(index) = index {
                side[index] += 1;
            }
        }
        assert!(left != right || pair.mark() == '=', "{pair:?}");
    }
    assert!(sides.iter().flatten().all(|&count| count == 1), "{sides:?}");
}
