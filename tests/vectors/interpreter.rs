//! Files that a program may name as its interpreter.

use super::{Base, Companion, Fault, Vector, across, fault};
use support::elf::{BASE, ET_EXEC, Elf};

const GROUP: &str = "interpreter";

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<_> = companions().into_iter().flat_map(with).collect();
    vectors.push(Vector {
        needs_root: Some("others cannot read it"),
        ..beside(
            "mode 0111",
            "H-14",
            Companion::Mode(0o111),
            Base::Interpreted,
        )
    });
    let bases = [Base::Interpreter, Base::InterpreterOfPie];
    vectors.extend(across(GROUP, &bases, &fixed()));
    vectors
}

fn beside(name: &str, rules: &'static str, companion: Companion, base: Base) -> Vector {
    let nothing = fault(name, rules, format!("the interpreter: {name}"), |_| {});
    let vector = Vector::new(GROUP, base, vec![nothing]);
    Vector {
        companion,
        representative: true,
        ..vector
    }
}

fn with((name, rules, companion): (&str, &'static str, Companion)) -> Vec<Vector> {
    let bases = [Base::Interpreted, Base::Pie].into_iter();
    bases
        .map(|base| beside(name, rules, companion.clone(), base))
        .collect()
}

fn companions() -> Vec<(&'static str, &'static str, Companion)> {
    let bytes = |bytes: &[u8]| Companion::Bytes(bytes.to_vec());
    let standard = Elf::standard_pie().to_bytes();
    vec![
        ("standard", "H-50", Companion::Standard),
        ("missing", "H-13", Companion::Missing),
        ("directory", "H-13", Companion::Directory),
        ("dangling link", "H-13", Companion::Link("missing")),
        ("loop of links", "H-13", Companion::Link("i")),
        (
            "link to the program",
            "H-13, M-8",
            Companion::Link("program"),
        ),
        ("link to a device", "E-5", Companion::Link("/dev/zero")),
        ("mode 0644", "H-13", Companion::Mode(0o644)),
        ("mode 0000", "H-13", Companion::Mode(0)),
        ("mode 0555", "H-13", Companion::Mode(0o555)),
        ("script", "H-50", bytes(b"#!/bin/sh\nexit 42\n")),
        (
            "long script",
            "H-50",
            bytes(&[b"#!/bin/sh\n".to_vec(), vec![b'#'; 100]].concat()),
        ),
        ("text", "H-50", bytes(&[b't'; 200])),
        ("empty", "H-50", bytes(b"")),
        ("zeros", "H-50", bytes(&[0; 4096])),
        ("4 bytes", "H-50", bytes(&standard[..4])),
        ("63 bytes", "H-50", bytes(&standard[..63])),
        ("64 bytes", "H-50", bytes(&standard[..64])),
        ("headers cut", "H-50", bytes(&standard[..175])),
        ("headers only", "H-33", bytes(&standard[..176])),
        ("exits", "M-8", bytes(&standard)),
    ]
}

/// Interpreters with fixed addresses.
fn fixed() -> Vec<Fault> {
    let places = [
        ("over the program", BASE),
        ("over its code", BASE + 0x1000),
        ("over its data", BASE + 0x3000),
        ("after the program", BASE + 0x5000),
        ("elsewhere", 0x1000_0000),
        ("over a position-independent program", 0x5555_5555_4000),
        ("over its code there", 0x5555_5555_5000),
        ("at the top of the mappings", 0x7fff_f7ff_a000),
        ("over the stack", 0x7fff_fffd_d000),
        ("over the top of the stack", 0x7fff_ffff_a000),
        ("at 0", 0),
    ];
    let faults = places.map(|(name, base)| {
        let about = format!("an ET_EXEC interpreter {name}, at {base:#x}");
        fault(format!("fixed {name}"), "M-8, M-9", about, move |elf| {
            elf.header.kind = ET_EXEC;
            elf.header.entry += base;
            elf.loads().for_each(|load| load.vaddr += base);
        })
    });
    faults.into()
}
