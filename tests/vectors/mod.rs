//! ELF files that are each the standard file with one wrong or unusual property: a table of names, rules and changes.
//!
//! Every file that runs reports what it finds (see [`report`]) and exits 42. An interpreter has the name `i` and is beside its
//! program, which starts with that directory as its working directory.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "each test file is a crate of its own")]

mod header;
mod interpreter;
mod kinds;
mod layout;
mod pairs;
mod report;
mod segments;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use support::elf::Base;
use support::elf::Elf;

#[allow(unused_imports, reason = "each test file uses its part")]
pub use report::{pages_crc32, rendered};

/// One wrong or unusual property.
#[derive(Clone)]
pub struct Fault {
    pub name: String,
    /// The rules that the fault is about, such as `H-31`.
    pub rules: &'static str,
    pub about: String,
    pub change: Arc<dyn Fn(&mut Elf) + Send + Sync>,
}

/// The file `i` beside the program.
#[derive(Clone, Debug)]
pub enum Companion {
    /// The standard interpreter, if the base has an interpreter.
    Standard,
    /// The standard interpreter with these permissions.
    Mode(u32),
    Bytes(Vec<u8>),
    Directory,
    Link(&'static str),
    Missing,
}

/// A named set of files.
pub struct Vector {
    pub name: String,
    pub rules: String,
    pub about: String,
    pub base: Base,
    pub faults: Vec<Fault>,
    pub companion: Companion,
    /// Why the vector needs root.
    pub needs_root: Option<&'static str>,
    /// Whether this vector is one of the few that represent all.
    pub representative: bool,
}

/// The whole table.
pub fn all() -> Vec<Vector> {
    [
        header::vectors(),
        kinds::vectors(),
        segments::vectors(),
        layout::vectors(),
        interpreter::vectors(),
        pairs::vectors(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Vector {
    fn new(group: &str, base: Base, faults: Vec<Fault>) -> Self {
        let names: Vec<_> = faults.iter().map(|fault| fault.name.as_str()).collect();
        let rules: Vec<_> = faults.iter().map(|fault| fault.rules).collect();
        let about: Vec<_> = faults.iter().map(|fault| fault.about.as_str()).collect();
        Self {
            name: format!("{group}::{base:?}::{}", names.join("+")),
            rules: rules.join(", "),
            about: about.join("; "),
            base,
            faults,
            companion: Companion::Standard,
            needs_root: None,
            representative: false,
        }
    }

    /// Writes the files into an empty directory and returns the program's path.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let (mut program, mut interpreter) = self.base.files();
        for fault in &self.faults {
            (fault.change)(if self.base.is_interpreter() {
                &mut interpreter
            } else {
                &mut program
            });
        }
        report::put(&mut program, report::Then::Exit);
        report::put(&mut interpreter, report::Then::Program);
        let path = directory.join("i");
        match &self.companion {
            Companion::Standard if !self.base.has_interpreter() => {}
            Companion::Standard => drop(interpreter.write(path)),
            Companion::Mode(mode) => {
                let path = interpreter.write(path);
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).expect("it is ours");
            }
            Companion::Bytes(bytes) => drop(support::elf::write_executable(path, bytes)),
            Companion::Directory => fs::create_dir(path).expect("the directory is empty"),
            Companion::Link(target) => symlink(target, path).expect("the directory is empty"),
            Companion::Missing => {}
        }
        program.write(directory.join("program"))
    }
}

fn fault(
    name: impl Into<String>,
    rules: &'static str,
    about: impl Into<String>,
    change: impl Fn(&mut Elf) + Send + Sync + 'static,
) -> Fault {
    Fault {
        name: name.into(),
        rules,
        about: about.into(),
        change: Arc::new(change),
    }
}

/// One fault for each of these values of a field.
fn each(field: &str, rules: &'static str, values: &[u64], set: fn(&mut Elf, u64)) -> Vec<Fault> {
    let faults = values.iter().map(|&value| {
        let name = format!("{field}={value:#x}");
        let about = format!("{field} is {value:#x}");
        fault(name, rules, about, move |elf| set(elf, value))
    });
    faults.collect()
}

/// Each fault in each base.
fn across(group: &str, bases: &[Base], faults: &[Fault]) -> Vec<Vector> {
    let pairs = bases
        .iter()
        .flat_map(|&base| faults.iter().map(move |fault| (base, fault.clone())));
    pairs
        .map(|(base, fault)| Vector::new(group, base, vec![fault]))
        .collect()
}
