//! The differences from execve(2) that userspace cannot avoid; PARITY.md says more about each rule.

/// A difference that is known before the program is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Difference {
    /// The kernel does not notice that another program runs.
    Unnoticed,
    /// /proc/PID/exe still names the old program.
    Executable,
    /// Heap, arguments and the other addresses in /proc/PID/stat are still those of the old program.
    Layout,
    /// Code, data or heap are at addresses that the kernel refuses to record.
    Bounds,
    /// The last page of the loader is removed by a jump through the vDSO, which leaves traces.
    LastJump,
    /// One page of the loader stays.
    Page,
    /// User 0 does not get back the capabilities that the process had given up.
    Capabilities,
    /// Later mappings are placed as before, although randomisation begins or ends with the program, or the caller chose
    /// another place.
    MmapBase,
    /// Inaccessible memory is reserved, so that later mappings are placed where the caller chose.
    Reserved,
}
