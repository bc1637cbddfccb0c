//! `supplant run --follow`: a preloaded library also replaces in place the programs that the program starts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use supplant_loader::Command;

use crate::load::options::RunOptions;

const LIBRARY: &str = "libsupplant_interpose.so";
/// The variable that names the library's file.
const VARIABLE: &str = "SUPPLANT_INTERPOSE";
const PRELOAD: &str = "LD_PRELOAD";
/// Makes the library add itself to every environment that does not have it.
const FOLLOW: &str = "SUPPLANT_INTERPOSE_FOLLOW";
/// The directories to search, relative to that of this command: as installed, with the names that distributions give to
/// the library directory, and as built.
const PLACES: [&str; 6] = [
    "",
    "../lib",
    "../lib/x86_64-linux-gnu",
    "../lib64",
    "../dist",
    "../release",
];

/// Changes the new program's environment so that it loads the library.
pub(crate) fn follow(command: &mut Command, options: &RunOptions) -> anyhow::Result<()> {
    let library = library()?;
    let mut preload = library.into_os_string();
    if let Some(others) = given(options).filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    command.env(PRELOAD, preload).env(FOLLOW, "1");
    Ok(())
}

/// The value of `LD_PRELOAD` without this option.
fn given(options: &RunOptions) -> Option<OsString> {
    let is_preload = |name: &OsStr| name == PRELOAD;
    let set = options.set.iter().rfind(|(name, _)| is_preload(name));
    if let Some((_, value)) = set {
        return Some(value.clone());
    }
    let removed = options.ignore_environment || options.unset.iter().any(|name| is_preload(name));
    env::var_os(PRELOAD).filter(|_| !removed)
}

fn library() -> anyhow::Result<PathBuf> {
    let found = match env::var_os(VARIABLE) {
        Some(path) => Path::new(&path)
            .canonicalize()
            .with_context(|| format!("{VARIABLE}: {}", Path::new(&path).display()))?,
        None => search()?,
    };
    // For the dynamic linker, these characters end a name.
    if found
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b": ".contains(byte))
    {
        bail!(
            "{}: a path with a blank or a colon cannot be preloaded",
            found.display()
        );
    }
    Ok(found)
}

fn search() -> anyhow::Result<PathBuf> {
    let command = env::current_exe().context("where this command is")?;
    let directory = command.parent().unwrap_or(Path::new("/"));
    let places = PLACES.map(|place| directory.join(place).join(LIBRARY));
    let found = places.iter().find_map(|place| place.canonicalize().ok());
    found.with_context(|| {
        let tried = places.map(|place| place.display().to_string()).join(", ");
        format!(
            "--follow: no {LIBRARY} ({tried}); `make interpose` builds it, {VARIABLE} may name it"
        )
    })
}
