//! A layout with fewer mappings, for pictures: a process may have 65,530 of them, too many to look at.

use crate::image::Permissions;

use super::bands::{Band, Item, rejoined};
use super::pieces::{Content, whole};
use super::{Layout, Owner, Region, Role};

/// The number of files whose sections are kept, including program and interpreter.
const FILES_LIMIT: usize = 24;
/// The number of program headers, and of sections, that are kept for one file.
const HEADERS_LIMIT: usize = 120;
/// The number of characters of a name that are kept.
const NAME_LIMIT: usize = 200;

impl Layout {
    /// Reduces the layout to about `most` mappings: neighbours are drawn as one; program and interpreter come last.
    #[must_use]
    pub fn folded(&self, most: usize) -> Self {
        let mut folded = self.clone();
        if self.regions.len() > most {
            folded.fold_regions(most.max(1));
            folded.drop_files();
        }
        folded.shorten();
        folded
    }

    fn fold_regions(&mut self, most: usize) {
        let staying = |region: &Region| is_special(region) || self.is_of_program(region);
        let few = self.regions.iter().filter(|region| staying(region)).count() <= most;
        let stays: Vec<bool> = self
            .regions
            .iter()
            .map(|region| is_special(region) || few && self.is_of_program(region))
            .collect();
        let starts: Vec<u64> = self
            .bands
            .iter()
            .filter_map(|band| self.first_region(band))
            .collect();
        let together = self.regions.len().div_ceil(most).max(2);
        let were = std::mem::take(&mut self.regions);
        let mut run: Vec<Region> = Vec::new();
        for (region, stays) in were.clone().into_iter().zip(stays) {
            if stays || run.len() == together || starts.contains(&region.range.start) {
                self.regions.extend(one(std::mem::take(&mut run)));
            }
            if stays {
                self.regions.push(region);
            } else {
                run.push(region);
            }
        }
        self.regions.extend(one(run));
        rejoined(&mut self.bands, &were, &self.regions);
    }

    /// The start of the lowest region of a band: regions of different bands are not drawn as one.
    fn first_region(&self, band: &Band) -> Option<u64> {
        band.items.iter().find_map(|item| match item {
            Item::Region(index) => Some(self.regions[*index].range.start),
            Item::Gap { .. } => None,
        })
    }

    fn is_of_program(&self, region: &Region) -> bool {
        let owner = region.file.map(|index| self.files[index].owner);
        matches!(owner, Some(Owner::Program | Owner::Interpreter))
    }

    /// Removes the files that no region shows any more.
    fn drop_files(&mut self) {
        let mut places: Vec<Option<usize>> = vec![None; self.files.len()];
        for index in self.regions.iter().filter_map(|region| region.file) {
            places[index] = Some(0);
        }
        for (next, place) in places.iter_mut().flatten().enumerate() {
            *place = next;
        }
        let mut kept = places.iter();
        self.files
            .retain(|_| kept.next().is_some_and(Option::is_some));
        for region in &mut self.regions {
            region.file = region.file.and_then(|index| places[index]);
        }
    }

    /// Removes details for which a picture has no room.
    fn shorten(&mut self) {
        shorten(&mut self.subject);
        for region in &mut self.regions {
            shorten(&mut region.name);
            shorten(&mut region.label);
        }
        for (index, file) in self.files.iter_mut().enumerate() {
            let sections = if index < FILES_LIMIT {
                HEADERS_LIMIT
            } else {
                0
            };
            let binary = &mut file.binary;
            binary.sections.truncate(sections);
            binary.headers.truncate(HEADERS_LIMIT);
            shorten(&mut binary.path);
            binary.interpreter.iter_mut().for_each(shorten);
            binary
                .sections
                .iter_mut()
                .for_each(|section| shorten(&mut section.name));
        }
        for pointer in &mut self.pointers {
            shorten(&mut pointer.target);
        }
    }
}

/// Whether a process has only one such region.
fn is_special(region: &Region) -> bool {
    !matches!(
        region.role,
        Role::Segment | Role::Bss | Role::File | Role::Anonymous
    )
}

/// Several regions as one.
fn one(run: Vec<Region>) -> Option<Region> {
    let (first, last) = (run.first()?, run.last()?);
    if run.len() == 1 {
        return run.into_iter().next();
    }
    let range = first.range.start..last.range.end;
    let any = |may: fn(&Permissions) -> bool| run.iter().any(|region| may(&region.permissions));
    let loud = run.iter().any(Region::is_writable_and_executable);
    let mut names: Vec<&str> = run.iter().map(|region| region.label.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Some(Region {
        pieces: vec![whole(&range, Content::Other)],
        range,
        permissions: Permissions {
            read: any(|permissions| permissions.read),
            write: any(|permissions| permissions.write),
            execute: loud
                || (any(|permissions| permissions.execute)
                    && !any(|permissions| permissions.write)),
        },
        shared: false,
        name: String::new(),
        label: format!("{} mappings", run.len()),
        role: Role::Anonymous,
        offset: None,
        file: None,
        header: None,
        why: format!(
            "{} mappings, drawn as one because there are so many: {}",
            run.len(),
            names[..names.len().min(8)].join(", ")
        ),
    })
}

/// Removes the middle of a long name.
fn shorten(name: &mut String) {
    let count = name.chars().count();
    if count > NAME_LIMIT {
        let head: String = name.chars().take(NAME_LIMIT / 2).collect();
        let tail: String = name.chars().skip(count - NAME_LIMIT / 2).collect();
        *name = format!("{head}…{tail}");
    }
}
