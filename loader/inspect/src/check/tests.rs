//! Tests that any bytes give a limited number of findings, without a panic.

use proptest::prelude::*;

use super::{Setting, findings};
use crate::image::{Image, Role};
use crate::machine::Machine;
use crate::page::PageSize;

/// An ELF header with program headers and then section headers: readable tables with arbitrary contents.
fn file(words: &[u64], phnum: u16, shnum: u16, shoff: u64) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    bytes.extend_from_slice(&words[0].to_le_bytes());
    bytes.extend_from_slice(&64_u64.to_le_bytes());
    bytes.extend_from_slice(&shoff.to_le_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0]);
    bytes.extend_from_slice(&phnum.to_le_bytes());
    bytes.extend_from_slice(&[64, 0]);
    bytes.extend_from_slice(&shnum.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// Valid types, and sizes and addresses at their limits.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..0x3000,
        Just(u64::MAX),
        Just(1 << 63),
        (0_u64..8, 0_u64..8).prop_map(|(kind, flags)| flags << 32 | kind),
        (0x6474_e550_u64..0x6474_e554).prop_map(|kind| 7 << 32 | kind),
    ]
}

fn settings() -> impl Strategy<Value = Setting> {
    let sizes = prop_oneof![Just(4096), Just(16384), Just(65536)];
    (sizes, any::<bool>()).prop_map(|(size, elsewhere)| Setting {
        page_size: PageSize::new(size).expect("a power of two"),
        elsewhere,
    })
}

proptest! {
    #[test]
    fn any_tables_give_some_findings(
        words in prop::collection::vec(word(), 1..120),
        phnum in 0_u16..20,
        shnum in prop_oneof![0_u16..9, Just(0xff00)],
        shoff in prop_oneof![0_u64..0x400, any::<u64>()],
        setting in settings(),
    ) {
        let bytes = file(&words, phnum, shnum, shoff);
        prop_assert!(findings(&bytes[..], bytes.len() as u64, setting).len() < 300);
    }

    #[test]
    fn any_bytes_give_some_findings(mut bytes in prop::collection::vec(any::<u8>(), 0..600), elf in any::<bool>(), setting in settings()) {
        if elf && bytes.len() > 4 {
            bytes[..4].copy_from_slice(b"\x7fELF");
        }
        prop_assert!(findings(&bytes[..], bytes.len() as u64, setting).len() < 300);
    }

    /// The library reports its own read errors as refusals, which have no finding here.
    #[test]
    fn what_the_library_reads_is_read_here_too(words in prop::collection::vec(word(), 7..60)) {
        let bytes = file(&words, 1, 0, 0);
        if Image::parse(&bytes[..], Machine::X86_64, Role::Program).is_ok() {
            let headers = super::Headers::read(&bytes[..], bytes.len() as u64);
            prop_assert_eq!(headers.map(|headers| headers.program_headers.len()), Some(1));
        }
    }
}
