//! Converts a snapshot to an `Observed`, for starting a program with the same layout.

use crate::auxv::{Auxv, tag_by_name};
use crate::image::Permissions;
use crate::maps::Mapping;
use crate::plan::Observed;

use super::{Region, Snapshot};

impl Snapshot {
    /// The addresses of the parts of the process.
    pub fn observed(&self) -> Observed {
        let random = self.random.as_deref();
        let random = random.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        Observed {
            mappings: self.regions.iter().map(Region::mapping).collect(),
            auxv: self.auxv(),
            stack_pointer: self.number("stat.startstack"),
            brk: self.number("stat.start_brk"),
            random: random.map(u128::to_be_bytes),
        }
    }

    /// The entries with names, in an order without meaning.
    fn auxv(&self) -> Auxv {
        let entries = self.values.keys().filter_map(|key| {
            let tag = tag_by_name(key.strip_prefix("saved_auxv.")?)?;
            Some((tag, self.number(key)?))
        });
        Auxv::from_pairs(entries)
    }
}

impl Region {
    /// The mapping as /proc/PID/maps shows it.
    pub(crate) fn mapping(&self) -> Mapping {
        let has = |letter| self.permissions.contains(letter);
        Mapping {
            range: self.start..self.end,
            permissions: Permissions {
                read: has('r'),
                write: has('w'),
                execute: has('x'),
            },
            shared: has('s'),
            offset: self.offset,
            device: (self.file.0, self.file.1),
            inode: self.file.2,
            name: self.name.clone().into_bytes(),
        }
    }
}
