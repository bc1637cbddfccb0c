//! The parts of a layout whose addresses can be chosen.

use std::fmt;

/// A part of the layout whose address can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// The program.
    Base,
    /// Its interpreter.
    InterpreterBase,
    /// The vDSO.
    Vdso,
    /// The end of the stack.
    StackTop,
    /// The stack pointer.
    StackPointer,
    /// The heap.
    Brk,
    /// The end of the area of mappings.
    MmapBase,
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "the program's base",
            Self::InterpreterBase => "the interpreter's base",
            Self::Vdso => "the vDSO",
            Self::StackTop => "the top of the stack",
            Self::StackPointer => "the stack pointer",
            Self::Brk => "the start of the heap",
            Self::MmapBase => "the base of the mappings",
        })
    }
}
