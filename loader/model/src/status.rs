//! The facts about this thread and its process in /proc/thread-self/status that no single system call returns.

use crate::host::Ids;
use crate::identity::IdentityChange;

/// Threads, ids, capabilities, pending signals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The number of threads.
    pub threads: usize,
    /// Whether a seccomp filter is in force.
    pub filtered: bool,
    /// How many descriptors the table has room for; no descriptor number is larger.
    pub descriptors: usize,
    /// Real and effective ids.
    pub ids: Option<Ids>,
    /// The saved user id.
    pub saved_uid: u32,
    /// The saved group id.
    pub saved_gid: u32,
    /// The file-system user id.
    pub fs_uid: u32,
    /// The file-system group id.
    pub fs_gid: u32,
    /// Whether the process is in its effective group by its file-system id or its supplementary groups.
    pub in_group: bool,
    /// Capabilities, as masks.
    pub inheritable: u64,
    /// Likewise.
    pub permitted: u64,
    /// Likewise.
    pub effective: u64,
    /// Likewise.
    pub ambient: u64,
    /// Likewise.
    pub bounding: u64,
    /// Signals that wait for this thread, as a mask.
    pub pending: u64,
    /// Signals that wait for any thread of the process.
    pub shared_pending: u64,
    /// How many signals wait for processes of this user.
    pub queued: usize,
    /// Signals that this thread blocks.
    pub blocked: u64,
}

impl Status {
    /// Records one line. A missing line (older kernels) leaves its field 0.
    pub fn take(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return;
        };
        let value = &line[colon + 1..];
        match &line[..colon] {
            b"Threads" => self.threads = decimal(value).unwrap_or(1),
            b"Seccomp" => self.filtered = decimal(value) != Some(0),
            b"FDSize" => self.descriptors = decimal(value).unwrap_or(0),
            b"Uid" => {
                let [uid, euid, saved, fs] = numbers(value);
                let ids = self.ids.get_or_insert_default();
                (ids.uid, ids.euid) = (uid, euid);
                (self.saved_uid, self.fs_uid) = (saved, fs);
            }
            b"Gid" => {
                let [gid, egid, saved, fs] = numbers(value);
                let ids = self.ids.get_or_insert_default();
                (ids.gid, ids.egid) = (gid, egid);
                (self.saved_gid, self.fs_gid) = (saved, fs);
                self.in_group = fs == egid;
            }
            // After the ids. A list of some hundred is cut.
            b"Groups" => {
                let egid = self.ids.map(|ids| ids.egid);
                let mut groups = value.split(u8::is_ascii_whitespace);
                self.in_group |= groups.any(|group| egid.is_some() && decimal(group) == egid);
            }
            b"CapInh" => self.inheritable = mask(value),
            b"CapPrm" => self.permitted = mask(value),
            b"CapEff" => self.effective = mask(value),
            b"CapBnd" => self.bounding = mask(value),
            b"CapAmb" => self.ambient = mask(value),
            b"SigQ" => {
                let count = value.split(|&byte| byte == b'/').next();
                self.queued = count.and_then(decimal).unwrap_or(0);
            }
            b"SigPnd" => self.pending = mask(value),
            b"ShdPnd" => self.shared_pending = mask(value),
            b"SigBlk" => self.blocked = mask(value),
            _ => (),
        }
    }

    /// Changes the status as setting these ids does. Linux: `cap_emulate_setxuid` in security/commoncap.c.
    pub fn settle(&mut self, change: &IdentityChange, securebits: u32) {
        const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
        const SECBIT_KEEP_CAPS: u32 = 1 << 4;
        let old = self.ids.unwrap_or_default();
        let had_root = [old.uid, old.euid, self.saved_uid].contains(&0);
        let new = change.ids(old);
        self.ids = Some(new);
        if let Some([.., saved]) = change.group_ids {
            (self.saved_gid, self.fs_gid) = (saved, new.egid);
            self.in_group = true;
        }
        let Some([.., saved]) = change.user_ids else {
            return;
        };
        (self.saved_uid, self.fs_uid) = (saved, new.euid);
        if securebits & SECBIT_NO_SETUID_FIXUP != 0 {
            return;
        }
        if had_root && ![new.uid, new.euid, saved].contains(&0) {
            if securebits & SECBIT_KEEP_CAPS == 0 {
                (self.permitted, self.effective) = (0, 0);
            }
            self.ambient = 0;
        }
        if old.euid == 0 && new.euid != 0 {
            self.effective = 0;
        } else if old.euid != 0 && new.euid == 0 {
            self.effective = self.permitted;
        }
    }

    /// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`.
    pub fn may_set_exe(&self) -> bool {
        self.has_capability(21) || self.has_capability(40)
    }

    /// Whether the capability is in effect.
    pub fn has_capability(&self, number: u32) -> bool {
        self.effective & (1 << number) != 0
    }
}

/// A decimal number, without the blanks around it.
pub fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn numbers(value: &[u8]) -> [u32; 4] {
    let mut numbers = value
        .split(u8::is_ascii_whitespace)
        .filter_map(decimal::<u32>);
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

fn mask(value: &[u8]) -> u64 {
    let digits = std::str::from_utf8(value).unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_by_name() {
        let text = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nThreads:\t9\nSigPnd:\t0000000000000100\n\
                    CapEff:\t0000000000020000\n";
        let mut status = Status::default();
        text.lines().for_each(|line| status.take(line.as_bytes()));
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
        assert_eq!((status.descriptors, status.pending), (64, 0x100));
        assert!(status.has_capability(17) && !status.has_capability(21));
    }
}
