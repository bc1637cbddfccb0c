//! The bytes of a file that a finding or a fault is about.

/// Where fields of a program header start.
pub(crate) const P_OFFSET: u64 = 8;
/// The address.
pub(crate) const P_VADDR: u64 = 16;
/// The size in the file.
pub(crate) const P_FILESZ: u64 = 32;

/// A field of a file: where the bytes are that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the ELF specification, or what the bytes are.
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
