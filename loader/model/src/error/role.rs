//! What a file is to the one that is started.

/// Who reads the file: the same fault has another errno in an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The file that was asked for, or the interpreter of a script.
    Program,
    /// The file that `PT_INTERP` names.
    Interpreter,
}
