//! The state that execve resets on x86-64 only: the bases of `fs`, the old program's thread-local storage, and of `gs`.

use crate::table::{Call, Table};

pub(super) fn reset(table: &mut Table) {
    const ARCH_PRCTL: Call = Call {
        number: 158,
        name: "arch_prctl",
    };
    const ARCH_SET_GS: u64 = 0x1001;
    const ARCH_SET_FS: u64 = 0x1002;
    table.must(
        ARCH_PRCTL,
        &[ARCH_SET_FS.into(), 0.into()],
        "no thread-local storage yet",
    );
    table.must(ARCH_PRCTL, &[ARCH_SET_GS.into(), 0.into()], "no gs base");
}
