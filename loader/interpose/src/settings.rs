//! The settings from the environment at the time when the library was loaded. They stay in force if the program changes its
//! environment afterwards.
#![allow(
    unsafe_code,
    reason = "an entry of .init_array; asks the dynamic linker for the address of this library"
)]

use std::env;
use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use crate::spawn::watch_forks;

pub(crate) const FOLLOW: &str = "SUPPLANT_INTERPOSE_FOLLOW";
pub(crate) const STRICT: &str = "SUPPLANT_INTERPOSE_STRICT";
pub(crate) const LOG: &str = "SUPPLANT_INTERPOSE_LOG";

/// A file's device and inode.
pub(crate) type FileIdentity = (u64, u64);

/// The settings: see the module.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Programs get the library again, with any environment.
    pub(crate) follow: bool,
    /// The kernel starts no program.
    pub(crate) strict: bool,
    pub(crate) log: Option<PathBuf>,
    /// This library's file.
    pub(crate) library: Option<PathBuf>,
    /// The dynamic linker that loaded it.
    pub(crate) linker: Option<FileIdentity>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// The dynamic linker calls it before the program starts.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    settings();
    watch_forks();
}

pub(crate) fn settings() -> &'static Settings {
    SETTINGS.get_or_init(Settings::read)
}

impl Settings {
    fn read() -> Self {
        // A user must not be able to make a set-id program write to files.
        let variable = |name| env::var_os(name).filter(|_| !is_secure());
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty() && value != "0");
        let log = variable(LOG).filter(|path| !path.is_empty());
        Self {
            follow: is_set(FOLLOW),
            strict: is_set(STRICT),
            log: log.map(absolute),
            library: own_path(),
            linker: linker(),
        }
    }
}

/// Descendants may have another working directory.
fn absolute(path: OsString) -> PathBuf {
    std::path::absolute(&path).unwrap_or_else(|_| path.into())
}

fn is_secure() -> bool {
    // SAFETY: takes no pointer.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The file of this library, found by one of its addresses.
fn own_path() -> Option<PathBuf> {
    let address: *const libc::c_void = ptr::from_ref(&START).cast();
    let mut info = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: fills the struct.
    if unsafe { libc::dladdr(address, &raw mut info) } == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the dynamic linker's own string, which lives as long as the library.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let name = OsString::from_vec(name.to_bytes().to_vec());
    fs::canonicalize(&name).ok().or(Some(name.into()))
}

/// The file that is mapped at `AT_BASE`.
fn linker() -> Option<FileIdentity> {
    // SAFETY: takes no pointer.
    let base = unsafe { libc::getauxval(libc::AT_BASE) };
    let maps = fs::read("/proc/self/maps").ok()?;
    let start = format!("{base:08x}-");
    let mut lines = maps.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.starts_with(start.as_bytes()))?;
    let at = line.iter().position(|&byte| byte == b'/')?;
    file_identity(OsStr::from_bytes(&line[at..]).as_ref())
}

pub(crate) fn file_identity(path: &Path) -> Option<FileIdentity> {
    let status = fs::metadata(path).ok()?;
    Some((status.dev(), status.ino()))
}
