//! Makes a finding from an error: its name, its bytes, and a hint for this case.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use goblin::elf::header::EM_386;
use goblin::elf::program_header::PT_INTERP;

use crate::error::{Cause, Error, HeaderFault, OpenFault, Subject};
use crate::image::{PREFIX_SIZE, ReadAt};
use crate::machine;
use crate::search;

use super::Check;
use super::file::Chain;
use super::finding::Finding;
use super::headers::Headers;
use super::magic;
use super::refusals::{NEEDS_32_BIT, NOT_FOUND};

/// The finding for a refusal.
pub(super) fn refusal(error: &Error, path: &Path, chain: &Chain) -> Finding {
    let (cause, subject) = (error.cause(), error.subject());
    let mut check = Check::of(cause, subject);
    if matches!(
        cause,
        Cause::Header(HeaderFault::Machine { found: EM_386, .. })
    ) && has_32_bit_loader()
    {
        check = &NEEDS_32_BIT;
    }
    let mut finding = Finding::new(check, error.to_string());
    if let Some(hint) = hint(cause, subject, path, chain) {
        finding.hint = hint;
    }
    if let (Cause::Header(HeaderFault::NoMagic { .. }), Subject::Program, Some((what, _))) =
        (cause, subject, known(chain))
    {
        finding.message = format!("{error} ({what})");
    }
    let about = match subject {
        Subject::Interpreter(interpreter) => {
            finding.file = Some(interpreter.display().to_string());
            File::open(interpreter)
                .ok()
                .filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))
        }
        _ => None,
    };
    let first = chain.files.first().map(|looked| &looked.file);
    match (subject, &about, cause.field()) {
        (Subject::Interpreter(_), Some(file), Some(field)) => finding.with_bytes(file, &[field]),
        (Subject::Program, _, Some(field)) if first.is_some() => match first {
            Some(file) => finding.with_bytes(file, &[field]),
            None => finding,
        },
        _ => finding,
    }
}

/// The same for a program on another machine.
pub(super) fn cause(cause: &Cause, file: &File) -> Finding {
    let finding = Finding::new(
        Check::of(cause, &Subject::Program),
        format!("and on that machine: {cause}"),
    );
    match cause.field() {
        Some(field) => finding.with_bytes(file, &[field]),
        None => finding,
    }
}

/// The kind of a file that execve does not know, and a hint.
fn known(chain: &Chain) -> Option<(&'static str, &'static str)> {
    let looked = chain.files.first()?;
    magic::known(&looked.prefix, looked.size())
}

/// On x86-64, this file exists if and only if the kernel has the 32-bit loader.
fn has_32_bit_loader() -> bool {
    Path::new("/proc/sys/abi/vsyscall32").exists()
}

fn hint(cause: &Cause, subject: &Subject, path: &Path, chain: &Chain) -> Option<Cow<'static, str>> {
    let fixed = Cow::Borrowed;
    match (cause, subject) {
        (Cause::Open(OpenFault::Path { .. }), Subject::Interpreter(interpreter)) => {
            Some(missing(&interpreter.to_string_lossy(), subject, chain))
        }
        (Cause::Open(OpenFault::Path { .. }), _) if Check::of(cause, subject) == &NOT_FOUND => {
            found_in_path(path).map(Cow::Owned)
        }
        (Cause::Header(HeaderFault::NoMagic { .. }), Subject::Program) => {
            Some(fixed(known(chain)?.1))
        }
        (Cause::Header(HeaderFault::Type { found: 1 }), _) => {
            Some(fixed("an object file: link it"))
        }
        (Cause::Header(HeaderFault::Type { found: 4 }), _) => {
            Some(fixed("a core dump: open it with gdb"))
        }
        (
            Cause::Open(OpenFault::NotRegular {
                file_type: "the working directory",
            }),
            _,
        ) => Some(fixed("the interpreter's path is empty")),
        _ => None,
    }
}

fn missing(interpreter: &str, subject: &Subject, chain: &Chain) -> Cow<'static, str> {
    if interpreter.ends_with('\r') {
        return Cow::Borrowed(
            "its path ends in a carriage return: convert the line endings, dos2unix or sed -i 's/\\r$//'",
        );
    }
    if chain.names(subject) {
        return Cow::Borrowed(
            "install it, or name another interpreter on the #! line; #!/usr/bin/env NAME searches PATH",
        );
    }
    Cow::Borrowed(
        "install the C library that the program was built for, or name another dynamic linker: supplant run --interpreter, patchelf --set-interpreter",
    )
}

fn found_in_path(path: &Path) -> Option<String> {
    let variable = std::env::var_os("PATH");
    let candidates = search::candidates(path.as_os_str(), variable.as_deref());
    let found = candidates
        .iter()
        .find(|candidate| *candidate != path.as_os_str() && Path::new(candidate).is_file())?;
    Some(format!(
        "a FILE is not searched for in PATH; {} exists",
        found.display()
    ))
}

/// The kind of a file, in a few words.
pub(super) fn what(file: &(impl ReadAt + ?Sized), size: u64, prefix: &[u8; PREFIX_SIZE]) -> String {
    if prefix.starts_with(b"#!") {
        return "script".to_owned();
    }
    let Some(headers) = Headers::read(file, size) else {
        return String::new();
    };
    let machine = machine::name(headers.header.e_machine);
    let interpreted = headers.of_type(PT_INTERP).next().is_some();
    let kind = match (headers.header.e_type, interpreted) {
        (2 | 3, _) if headers.program_headers.is_empty() => "ELF file without program headers",
        (2, true) => "executable, dynamic, at a fixed address",
        (2, false) => "executable, static, at a fixed address",
        (3, true) => "executable, dynamic, position-independent",
        (3, false) => "static and position-independent, or a shared library",
        (1, _) => "object file",
        (4, _) => "core dump",
        _ => "ELF file",
    };
    format!("{machine} {kind}")
}
