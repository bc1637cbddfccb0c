//! The capabilities that execve(2) gives to a program, from those of the process and those of the file.
//!
//! Linux: `cap_bprm_creds_from_file` in security/commoncap.c.

use crate::host::Ids;
use crate::status::Status;

/// The capabilities that a file has, as its attribute `security.capability` tells them to this user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCapabilities {
    /// As a mask.
    pub permitted: u64,
    /// Likewise.
    pub inheritable: u64,
    /// Whether they take effect by themselves.
    pub effective: bool,
}

impl FileCapabilities {
    /// Reads the attribute, `struct vfs_cap_data`. `None` if it is malformed, or if it is for another user namespace: the kernel
    /// shows this by the form with an owner.
    pub fn from_attribute(bytes: &[u8]) -> Option<Self> {
        const REVISION: u32 = 0xff00_0000;
        const REVISION_2: u32 = 0x0200_0000;
        const EFFECTIVE: u32 = 1;
        let mut words = bytes
            .chunks_exact(4)
            .filter_map(|word| Some(u32::from_le_bytes(word.try_into().ok()?)));
        let mut next = || words.next().map(u64::from);
        let magic = next()? as u32;
        // Low halves, then high halves.
        let [permitted, inheritable, permitted_high, inheritable_high] =
            [next()?, next()?, next()?, next()?];
        (magic & REVISION == REVISION_2).then_some(Self {
            permitted: permitted | permitted_high << 32,
            inheritable: inheritable | inheritable_high << 32,
            effective: magic & EFFECTIVE != 0,
        })
    }
}

impl FileCapabilities {
    /// Only those that the kernel knows.
    #[must_use]
    pub fn within(self, known: u64) -> Self {
        Self {
            permitted: self.permitted & known,
            inheritable: self.inheritable & known,
            ..self
        }
    }
}

/// What the kernel looks at.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// Ids and capabilities of the process.
    pub status: &'a Status,
    /// As prctl(2) reports them.
    pub securebits: u32,
    /// Whether privileges may not grow.
    pub no_new_privs: bool,
    /// Whether a real id that is not the effective one counts as a change by the exec: Linux before 6.17.
    pub compares_real_ids: bool,
}

/// What the program gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The ids: effective ones become the real ones where an exec may not give what it would.
    pub ids: Ids,
    /// As a mask.
    pub permitted: u64,
    /// Likewise.
    pub effective: u64,
    /// Likewise.
    pub ambient: u64,
    /// `AT_SECURE`.
    pub secure: bool,
    /// Whether the file or user 0 would give more than the process has, were it allowed: then the personality is reset.
    pub would_gain: bool,
    /// Whether they give more: only the kernel can do that.
    pub gains: bool,
}

/// The bounding set withholds a capability that the file cannot do without (`EPERM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld;

const SECBIT_NOROOT: u32 = 1;

/// The capabilities of a program whose file does not change the user or the group. `file` is `None` for a file without
/// capabilities, and where they do not count, as on a nosuid mount.
///
/// # Errors
///
/// See [`Withheld`].
pub fn after(before: Before<'_>, file: Option<FileCapabilities>) -> Result<After, Withheld> {
    let status = before.status;
    let ids = status.ids.unwrap_or_default();
    let has_root = before.securebits & SECBIT_NOROOT == 0;
    let (root_is_real, root_is_effective) = (ids.uid == 0, ids.euid == 0);
    let by_file = file.unwrap_or_default();
    let mut permitted =
        status.bounding & by_file.permitted | status.inheritable & by_file.inheritable;
    let mut effective = by_file.effective;
    if effective && by_file.permitted & !permitted != 0 {
        return Err(Withheld);
    }
    // Of a program that is like a set-user-id one, the file's capabilities count.
    let like_set_id = file.is_some() && root_is_effective && !root_is_real;
    if has_root && !like_set_id {
        if root_is_real || root_is_effective {
            permitted = status.bounding | status.inheritable;
        }
        effective |= root_is_effective;
    }
    let would_gain = permitted & !status.permitted != 0;
    let other_ids = ids.secure();
    let changed_ids = if before.compares_real_ids {
        other_ids
    } else {
        !status.in_group
    };
    let mut new_ids = ids;
    if before.no_new_privs && (would_gain || changed_ids) {
        (new_ids.euid, new_ids.egid) = (ids.uid, ids.gid);
        permitted &= status.permitted;
    }
    let ambient = if file.is_some() || changed_ids {
        0
    } else {
        status.ambient
    };
    permitted |= ambient;
    let is_secure = if before.compares_real_ids {
        other_ids
    } else {
        changed_ids || new_ids.secure()
    };
    Ok(After {
        ids: new_ids,
        permitted,
        effective: if effective { permitted } else { ambient },
        ambient,
        secure: is_secure || !root_is_real && (effective || permitted & !ambient != 0),
        would_gain,
        gains: permitted & !status.permitted != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Ids;

    /// CAP_CHOWN, CAP_DAC_OVERRIDE.
    const CHOWN: u64 = 1;
    const OVERRIDE: u64 = 2;

    fn status(uid: u32, euid: u32) -> Status {
        Status {
            ids: Some(Ids {
                uid,
                euid,
                gid: 5,
                egid: 5,
            }),
            in_group: true,
            bounding: 0xff,
            ..Status::default()
        }
    }

    fn before(status: &Status) -> Before<'_> {
        Before {
            status,
            securebits: 0,
            no_new_privs: false,
            compares_real_ids: false,
        }
    }

    fn file(permitted: u64, effective: bool) -> FileCapabilities {
        FileCapabilities {
            permitted,
            inheritable: 0,
            effective,
        }
    }

    #[test]
    fn the_attribute_has_low_halves_and_then_high_ones() {
        let words = [0x0200_0001_u32, 2, 4, 1, 0];
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let expected = FileCapabilities {
            permitted: 1 << 32 | 2,
            inheritable: 4,
            effective: true,
        };
        assert_eq!(FileCapabilities::from_attribute(&bytes), Some(expected));
        let of_another = [&[1, 0, 0, 3][..], &bytes[4..], &[0, 0, 0, 0]].concat();
        for bytes in [&of_another, &bytes[..12], &[]] {
            assert_eq!(FileCapabilities::from_attribute(bytes), None);
        }
    }

    #[test]
    fn an_ordinary_user_keeps_the_ambient_ones_unless_the_file_has_some() {
        let status = Status {
            permitted: CHOWN,
            inheritable: CHOWN,
            ambient: CHOWN,
            ..status(1, 1)
        };
        let plain = after(before(&status), None);
        let kept = After {
            ids: status.ids.unwrap_or_default(),
            permitted: CHOWN,
            effective: CHOWN,
            ambient: CHOWN,
            ..After::default()
        };
        assert_eq!(plain, Ok(kept));
        let by_file = after(before(&status), Some(file(CHOWN, true)));
        let given = After {
            ambient: 0,
            secure: true,
            ..kept
        };
        assert_eq!(by_file, Ok(given));
    }

    #[test]
    fn without_new_privileges_a_file_gives_nothing_and_is_secure_nevertheless() {
        let status = status(1, 1);
        let strict = Before {
            no_new_privs: true,
            ..before(&status)
        };
        let expected = After {
            ids: status.ids.unwrap_or_default(),
            secure: true,
            would_gain: true,
            ..After::default()
        };
        assert_eq!(after(strict, Some(file(CHOWN, true))), Ok(expected));
        // Without the effective bit it is not.
        let expected = After {
            secure: false,
            ..expected
        };
        assert_eq!(after(strict, Some(file(CHOWN, false))), Ok(expected));
    }

    #[test]
    fn a_file_needs_all_of_its_own_if_they_are_effective() {
        let status = Status {
            bounding: CHOWN,
            ..status(1, 1)
        };
        let before = before(&status);
        assert_eq!(
            after(before, Some(file(CHOWN | OVERRIDE, true))),
            Err(Withheld)
        );
        let partly = after(before, Some(file(CHOWN | OVERRIDE, false)));
        assert_eq!(partly.map(|after| after.permitted), Ok(CHOWN));
    }

    #[test]
    fn user_0_gets_everything() {
        let status = Status {
            permitted: CHOWN,
            ..status(0, 0)
        };
        let all = after(before(&status), None).expect("nothing is withheld");
        assert_eq!((all.permitted, all.effective), (0xff, 0xff));
        assert_eq!((all.secure, all.gains), (false, true));
        let without_root = Before {
            securebits: SECBIT_NOROOT,
            ..before(&status)
        };
        let ids = status.ids.unwrap_or_default();
        let nothing = After {
            ids,
            ..After::default()
        };
        assert_eq!(after(without_root, None), Ok(nothing));
        // Where nothing may be gained, the effective id becomes the real one.
        let status = Status {
            ids: Some(Ids { euid: 1, ..ids }),
            ..status
        };
        let strict = Before {
            no_new_privs: true,
            ..before(&status)
        };
        assert_eq!(after(strict, None).map(|after| after.ids), Ok(ids));
    }

    #[test]
    fn older_kernels_compare_the_real_ids() {
        let status = Status {
            permitted: CHOWN,
            inheritable: CHOWN,
            ambient: CHOWN,
            ..status(1, 2)
        };
        let ambient = |before| after(before, None).map(|after| (after.ambient, after.secure));
        assert_eq!(ambient(before(&status)), Ok((CHOWN, true)));
        let older = Before {
            compares_real_ids: true,
            ..before(&status)
        };
        assert_eq!(ambient(older), Ok((0, true)));
    }
}
