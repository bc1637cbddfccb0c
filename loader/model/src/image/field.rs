//! The bytes of a file that a finding or a fault is about.

/// The offset of `p_offset` in a program header.
pub(crate) const P_OFFSET: u64 = 8;
/// The offset of `p_vaddr`.
pub(crate) const P_VADDR: u64 = 16;
/// The offset of `p_filesz`.
pub(crate) const P_FILESZ: u64 = 32;

/// A field of a file: the bytes that decided a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the ELF specification, or a description of the bytes.
    pub name: &'static str,
    /// Where it is in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
}

impl Field {
    pub(crate) const E_TYPE: Self = Self::new("e_type", 0x10, 2);

    /// Some bytes of a file.
    pub const fn new(name: &'static str, offset: u64, size: u64) -> Self {
        Self { name, offset, size }
    }
}
