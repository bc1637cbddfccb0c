//! Who and where the process becomes when the program is replaced, as numbers for the table.

use crate::host::Ids;

/// An id that stays as it is, in setresuid(2) and setresgid(2).
pub const SAME: u32 = u32::MAX;

/// The header of capset(2), of this thread.
pub const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// What capset(2) reads after that header: of each mask the low half, then of each the high one.
pub fn capability_sets(effective: u64, permitted: u64, inheritable: u64) -> [[u32; 3]; 2] {
    let sets = [effective, permitted, inheritable];
    [
        sets.map(|set| set as u32),
        sets.map(|set| (set >> 32) as u32),
    ]
}

/// What the table changes about the process besides its program. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct IdentityChange {
    /// The supplementary groups, in bytes as the kernel reads them.
    pub groups: Option<Box<[[u8; 4]]>>,
    /// Real, effective and saved ids; [`SAME`] stays.
    pub group_ids: Option<[u32; 3]>,
    /// Likewise.
    pub user_ids: Option<[u32; 3]>,
    /// A descriptor of the working directory.
    pub directory: Option<i32>,
    /// The process group; 0 is one of its own.
    pub process_group: Option<i32>,
    /// The signal at the parent's end, which a change of ids takes away.
    pub death_signal: Option<u64>,
}

impl IdentityChange {
    /// Nothing changes.
    pub const NONE: Self = Self {
        groups: None,
        group_ids: None,
        user_ids: None,
        directory: None,
        process_group: None,
        death_signal: None,
    };

    /// How many bytes the table needs for it, in whole words.
    pub fn size(&self) -> usize {
        let groups = self.groups.as_deref().unwrap_or_default();
        size_of_val(groups).next_multiple_of(8)
    }

    /// The ids that the new program has.
    pub fn ids(&self, ids: Ids) -> Ids {
        let of = |new: Option<[u32; 3]>, index: usize, old: u32| match new.map(|ids| ids[index]) {
            None | Some(SAME) => old,
            Some(id) => id,
        };
        Ids {
            uid: of(self.user_ids, 0, ids.uid),
            euid: of(self.user_ids, 1, ids.euid),
            gid: of(self.group_ids, 0, ids.gid),
            egid: of(self.group_ids, 1, ids.egid),
        }
    }
}
