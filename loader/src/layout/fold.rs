//! A layout with fewer mappings, for pictures: a process may have 65,530 of them, which nobody can look at.

use crate::image::Permissions;

use super::pieces::{Content, whole};
use super::{Item, Layout, Owner, Region, Role, bands::rejoined};

/// Files whose sections and program headers are kept, program and interpreter among them.
const FILES_LIMIT: usize = 24;
/// Letters of a name that are kept.
const NAME_LIMIT: usize = 200;

impl Layout {
    /// At most about `most` mappings: neighbours that belong to neither program nor interpreter are drawn as one.
    #[must_use]
    pub fn folded(&self, most: usize) -> Self {
        let mut folded = self.clone();
        for region in &mut folded.regions {
            shorten(&mut region.name);
            shorten(&mut region.label);
        }
        for file in folded.files.iter_mut().skip(FILES_LIMIT) {
            file.binary.sections.clear();
            file.binary
                .headers
                .retain(|header| header.kind == "PT_LOAD");
        }
        if self.regions.len() > most {
            folded.fold_regions(most.max(1));
        }
        folded
    }

    fn fold_regions(&mut self, most: usize) {
        let together = self.regions.len().div_ceil(most).max(2);
        let were = std::mem::take(&mut self.regions);
        let mut run: Vec<Region> = Vec::new();
        for region in were.clone() {
            let is_border = self.bands.iter().any(|band| {
                matches!(band.items.first(), Some(Item::Gap { range, .. }) if range.end == region.range.start)
            });
            let keeps = self.stays(&region);
            if keeps || is_border || run.len() == together {
                self.regions.extend(one(std::mem::take(&mut run)));
            }
            if keeps {
                self.regions.push(region);
            } else {
                run.push(region);
            }
        }
        self.regions.extend(one(run));
        rejoined(&mut self.bands, &were, &self.regions);
    }

    fn stays(&self, region: &Region) -> bool {
        let owner = region.file.map(|index| self.files[index].owner);
        let is_plain = matches!(
            region.role,
            Role::Segment | Role::Bss | Role::File | Role::Anonymous
        );
        !is_plain || matches!(owner, Some(Owner::Program | Owner::Interpreter))
    }
}

/// Several regions as one.
fn one(run: Vec<Region>) -> Option<Region> {
    let (first, last) = (run.first()?, run.last()?);
    if run.len() == 1 {
        return run.into_iter().next();
    }
    let range = first.range.start..last.range.end;
    let any = |may: fn(&Permissions) -> bool| run.iter().any(|region| may(&region.permissions));
    let mut names: Vec<&str> = run.iter().map(|region| region.label.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Some(Region {
        pieces: vec![whole(&range, Content::Other)],
        range,
        permissions: Permissions {
            read: any(|permissions| permissions.read),
            write: any(|permissions| permissions.write),
            execute: false,
        },
        shared: false,
        name: String::new(),
        label: format!("{} mappings", run.len()),
        role: Role::Anonymous,
        offset: None,
        file: None,
        header: None,
        why: format!(
            "{} mappings, drawn as one since there are so many: {}",
            run.len(),
            names[..names.len().min(8)].join(", ")
        ),
    })
}

/// Without the middle, where it is long.
fn shorten(name: &mut String) {
    let count = name.chars().count();
    if count > NAME_LIMIT {
        let head: String = name.chars().take(NAME_LIMIT / 2).collect();
        let tail: String = name.chars().skip(count - NAME_LIMIT / 2).collect();
        *name = format!("{head}…{tail}");
    }
}
