//! The paths of built files: in target/, or, if root keeps the clone in a folder that other users cannot enter, in links that
//! other users can follow.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::{fs, io};

use super::{is_root, scratch};

/// The folder of the links, and the process that made it and removes it at exit.
static LINKS: OnceLock<Option<(PathBuf, u32)>> = OnceLock::new();

/// The folder of the files that `make` puts into target/, readable for all users.
pub fn target() -> PathBuf {
    let links = LINKS.get_or_init(|| {
        let hidden = is_root() && !is_open(&own_target());
        hidden.then(|| link_all().expect("root may write to a temporary folder"))
    });
    links
        .as_ref()
        .map_or_else(own_target, |(folder, _)| folder.clone())
}

/// The command that cargo built.
pub fn cargos() -> PathBuf {
    let path = own_cargos();
    match path.strip_prefix(own_target()) {
        Ok(within) => target().join(within),
        Err(_) => path,
    }
}

/// The command is in the folder above that of the running test.
fn own_cargos() -> PathBuf {
    let test = std::env::current_exe().expect("/proc is mounted");
    let folder = test.parent().and_then(Path::parent);
    folder
        .expect("a test lies in target/PROFILE/deps")
        .join("supplant")
}

/// The root of the project.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors()
        .nth(2)
        .expect("this crate lies in tests/support")
}

fn own_target() -> PathBuf {
    root().join("target")
}

/// Whether all users may pass through all folders above.
fn is_open(path: &Path) -> bool {
    path.ancestors().all(|folder| {
        let status = fs::metadata(folder);
        status.is_ok_and(|status| status.permissions().mode() & 0o001 != 0)
    })
}

fn link_all() -> io::Result<(PathBuf, u32)> {
    let folder = scratch().keep();
    for name in ["test-binaries", "dist"] {
        link_folder(&own_target().join(name), &folder.join(name))?;
    }
    let cargos = own_cargos();
    if let Ok(within) = cargos.strip_prefix(own_target()) {
        link(&cargos, &folder.join(within))?;
    }
    // SAFETY: the function takes nothing and does not unwind.
    unsafe { libc::atexit(remove_links) };
    Ok((folder, process::id()))
}

/// Does nothing in a child, which inherits the list of exit functions.
extern "C" fn remove_links() {
    if let Some(Some((folder, process))) = LINKS.get()
        && *process == process::id()
    {
        let _ = fs::remove_dir_all(folder);
    }
}

/// A missing folder is skipped: it was not built.
fn link_folder(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else {
        return Ok(());
    };
    for entry in entries {
        let (entry, to) = (entry?, to.to_owned());
        if entry.file_type()?.is_dir() {
            link_folder(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            link(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Makes a hard link, or a copy on another file system.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}
