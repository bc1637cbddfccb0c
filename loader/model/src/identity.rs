//! The ids, groups and directory that the process gets when the program is replaced, as numbers for the table.

use crate::host::Ids;

/// The value for an id that stays unchanged, in setresuid(2) and setresgid(2).
pub const SAME: u32 = u32::MAX;

/// The header of capset(2), for this thread.
pub const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// The data that capset(2) reads after that header: the low half of each mask, then the high half of each.
pub fn capability_sets(effective: u64, permitted: u64, inheritable: u64) -> [[u32; 3]; 2] {
    let sets = [effective, permitted, inheritable];
    [
        sets.map(|set| set as u32),
        sets.map(|set| (set >> 32) as u32),
    ]
}

/// The changes that the table makes to the process besides its program. A field that is `None` means no change.
#[derive(Clone, Debug, Default)]
pub struct IdentityChange {
    /// The supplementary groups, in bytes as the kernel reads them.
    pub groups: Option<Box<[[u8; 4]]>>,
    /// Real, effective and saved group ids; [`SAME`] means no change.
    pub group_ids: Option<[u32; 3]>,
    /// The same for user ids.
    pub user_ids: Option<[u32; 3]>,
    /// A descriptor of the working directory.
    pub directory: Option<i32>,
    /// The process group; 0 means a new group.
    pub process_group: Option<i32>,
    /// The signal when the parent ends, which a change of ids clears.
    pub death_signal: Option<u64>,
}

impl IdentityChange {
    /// No change.
    pub const NONE: Self = Self {
        groups: None,
        group_ids: None,
        user_ids: None,
        directory: None,
        process_group: None,
        death_signal: None,
    };

    /// How many bytes the table needs for the change, in whole words.
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
