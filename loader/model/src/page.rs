//! Page arithmetic.

/// The size of a page of memory, in bytes: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u64);

impl PageSize {
    /// 4 KiB: no machine has smaller pages.
    pub const SMALLEST: Self = Self(4096);

    /// `None` if `size` is not a power of two.
    pub const fn new(size: u64) -> Option<Self> {
        if size.is_power_of_two() {
            Some(Self(size))
        } else {
            None
        }
    }

    /// The size in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The start of the page that holds `address`.
    pub const fn floor(self, address: u64) -> u64 {
        address & !(self.0 - 1)
    }

    /// The first page boundary at or above `address`; `None` past the end of the 64-bit space.
    pub const fn ceil(self, address: u64) -> Option<u64> {
        match address.checked_add(self.0 - 1) {
            Some(sum) => Some(self.floor(sum)),
            None => None,
        }
    }

    /// The distance of `address` from the start of its page.
    pub const fn offset(self, address: u64) -> u64 {
        address & (self.0 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_down_and_up_and_refuses_what_is_no_power_of_two() {
        let page = PageSize::new(0x1000).expect("a power of two");
        assert_eq!(
            (page.floor(0x1fff), page.ceil(0x1001), page.offset(0x1234)),
            (0x1000, Some(0x2000), 0x234)
        );
        assert_eq!(page.ceil(u64::MAX), None);
        assert_eq!(PageSize::new(3), None);
    }
}
