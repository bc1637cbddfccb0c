//! What /proc/self/status tells of this process that no single system call does.

use crate::error::Cause;
use crate::host::Ids;
use crate::procfs::read;
use crate::sys;

/// Threads, ids and capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) threads: usize,
    pub(crate) ids: Option<Ids>,
    pub(crate) saved_uid: u32,
    pub(crate) saved_gid: u32,
    pub(crate) fs_uid: u32,
    pub(crate) fs_gid: u32,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) ambient: u64,
    pub(crate) bounding: u64,
}

impl Status {
    pub(crate) fn current() -> Result<Self, Cause> {
        Ok(Self::parse(&String::from_utf8_lossy(&read(
            "/proc/self/status",
        )?)))
    }

    /// Lines that are missing (older kernels) leave their field 0.
    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        let (mut uids, mut gids) = (Vec::new(), Vec::new());
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "Threads" => status.threads = value.parse().unwrap_or(1),
                "Uid" => uids = numbers(value),
                "Gid" => gids = numbers(value),
                "CapInh" => status.inheritable = mask(value),
                "CapPrm" => status.permitted = mask(value),
                "CapEff" => status.effective = mask(value),
                "CapBnd" => status.bounding = mask(value),
                "CapAmb" => status.ambient = mask(value),
                _ => (),
            }
        }
        if let ([uid, euid, saved_uid, fs_uid], [gid, egid, saved_gid, fs_gid]) =
            (&uids[..], &gids[..])
        {
            status.ids = Some(Ids {
                uid: *uid,
                euid: *euid,
                gid: *gid,
                egid: *egid,
            });
            (status.saved_uid, status.saved_gid) = (*saved_uid, *saved_gid);
            (status.fs_uid, status.fs_gid) = (*fs_uid, *fs_gid);
        }
        status
    }

    /// execve gives user 0 everything that the bounding set allows.
    pub(crate) fn lacks_what_execve_gives_back(&self) -> bool {
        const SECBIT_NOROOT: i32 = 1;
        let ids = self.ids.unwrap_or_default();
        let root = ids.uid == 0 || ids.euid == 0;
        let rooted =
            root && sys::prctl_get(libc::PR_GET_SECUREBITS).unwrap_or(0) & SECBIT_NOROOT == 0;
        let may_gain = sys::prctl_get(libc::PR_GET_NO_NEW_PRIVS) == Ok(0);
        rooted && may_gain && self.permitted | self.bounding | self.inheritable != self.permitted
    }

    pub(crate) fn has_capability(&self, number: u32) -> bool {
        self.effective & (1 << number) != 0
    }
}

fn numbers(value: &str) -> Vec<u32> {
    value
        .split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn mask(value: &str) -> u64 {
    u64::from_str_radix(value, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_by_name() {
        let text = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nThreads:\t9\nCapEff:\t0000000000020000\n";
        let status = Status::parse(text);
        assert_eq!(
            status.ids,
            Some(Ids {
                uid: 1,
                euid: 2,
                gid: 5,
                egid: 6
            })
        );
        assert_eq!(
            (status.saved_uid, status.saved_gid, status.threads),
            (3, 7, 9)
        );
        assert!(status.has_capability(17) && !status.has_capability(21));
    }
}
