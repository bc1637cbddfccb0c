//! Files and users that execve rejects, and the comparison of the results.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};

use libtest_mimic::Failed;

use super::elf::Elf;
use super::{Call, Ending, Outcome, builds, check, difference, is_root, static_program};

/// A user without a name and without rights.
pub const NOBODY: u32 = 65534;

/// A child that is forked while a file is being written also has it open for writing, and so makes it busy for a moment.
static WRITING: RwLock<()> = RwLock::new(());

/// Starts a child while no file is being written.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    forking(|| command.spawn())
}

/// Runs a function that forks, and returns when the child has started a program, while no file is being written.
pub fn forking<T>(fork: impl FnOnce() -> T) -> T {
    let _shared = WRITING.read().unwrap_or_else(PoisonError::into_inner);
    fork()
}

/// Writes a file with this mode.
pub fn file(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = path.as_ref().to_owned();
    let _alone = WRITING.write().unwrap_or_else(PoisonError::into_inner);
    fs::write(&path, bytes).expect("the scratch directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    path
}

/// Writes the standard program, which exits 42.
pub fn program(path: impl AsRef<Path>, mode: u32) -> PathBuf {
    file(path, Elf::standard().to_bytes(), mode)
}

/// Writes a copy of the test program that prints its arguments.
pub fn arguments_program(path: impl AsRef<Path>) -> PathBuf {
    let bytes = fs::read(static_program("arguments")).expect("it is there");
    file(path, bytes, 0o755)
}

pub fn chown(path: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may");
}

/// The needs of a trial that changes the owner of files.
pub fn needs_root() -> Option<&'static str> {
    (!is_root()).then_some("root")
}

/// The needs of a trial that makes its own mounts. In a chroot whose root is not a mount point, mounts cannot be made private,
/// so the rest of the machine would see them.
pub fn needs_mounts() -> Option<&'static str> {
    let directory = super::scratch();
    let program = program(directory.path().join("program"), 0o755);
    let refused = Call::new(program).on_noexec(directory.path()).by_kernel();
    (refused.ending != Ending::Refused(libc::EACCES))
        .then_some("root or user namespaces, and / as a mount point")
}

impl Call {
    /// Run by a user without rights: nobody instead of root.
    pub fn unprivileged(self) -> Self {
        if !is_root() {
            return self;
        }
        self.groups(&[])
            .setup(|| set_ids([NOBODY; 3], [NOBODY; 3]))
            .dumpable()
    }

    /// Sets the supplementary groups.
    pub fn groups(self, groups: &'static [u32]) -> Self {
        // SAFETY: the array is valid.
        self.setup(move || check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }))
    }

    /// Makes the process the owner of its files in /proc, as after an execve but not after a change of its user.
    pub fn dumpable(self) -> Self {
        self.setup(|| super::system::prctl(libc::PR_SET_DUMPABLE, [1]))
    }

    /// Mounts this directory noexec over itself, for this process only.
    pub fn on_noexec(self, directory: &Path) -> Self {
        let directory = CString::new(directory.as_os_str().as_bytes()).expect("no NUL");
        self.setup(move || {
            let user = if is_root() { 0 } else { libc::CLONE_NEWUSER };
            // SAFETY: takes no pointer.
            check(unsafe { libc::unshare(libc::CLONE_NEWNS | user) })?;
            let status = nix::sys::statvfs::statvfs(directory.as_c_str())?;
            // These flags have the same values, and only root may omit them.
            let kept = status.flags().bits() & (libc::MS_NOSUID | libc::MS_NODEV);
            let remount = libc::MS_REMOUNT | libc::MS_NOEXEC | kept;
            for (target, flags) in [
                (c"/", libc::MS_REC | libc::MS_PRIVATE),
                (&directory, libc::MS_BIND),
                (&directory, libc::MS_BIND | remount),
            ] {
                let (path, none) = (target.as_ptr(), std::ptr::null());
                // SAFETY: the strings are terminated, and pointers that are not read are null.
                check(unsafe { libc::mount(path, path, none, flags, none.cast()) })?;
            }
            Ok(())
        })
    }
}

/// Sets the real, effective and saved user and group ids.
pub fn set_ids(users: [u32; 3], groups: [u32; 3]) -> io::Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::setresgid(groups[0], groups[1], groups[2]) })?;
    // SAFETY: as above.
    check(unsafe { libc::setresuid(users[0], users[1], users[2]) })
}

/// Runs the call by the kernel and by the library: the same ending, the same output. Returns the outcome.
pub fn same(call: &Call) -> Result<Outcome, Failed> {
    let (kernel, ours) = (call.by_kernel(), call.by_library());
    if kernel == ours {
        return Ok(kernel);
    }
    let text = call.by_command(&builds()[0]);
    Err(format!("{}by command {text:?}", difference(&kernel, &ours)).into())
}

/// The same, and also by each build of the command.
pub fn same_by_all(call: &Call) -> Result<Outcome, Failed> {
    let kernel = same(call)?;
    for build in builds() {
        let ours = call.by_command(&build);
        if (kernel.ending, &kernel.stdout) != (ours.ending, &ours.stdout) {
            let text = format!("{}: {}", build.display(), difference(&kernel, &ours));
            return Err(text.into());
        }
    }
    Ok(kernel)
}

/// Checks the ending, so that a comparison tests the intended case.
pub fn expect(outcome: &Outcome, ending: Ending) -> Result<(), Failed> {
    if outcome.ending == ending {
        return Ok(());
    }
    Err(format!("not {ending:?}, by the kernel: {outcome:?}").into())
}

/// Checks all results and reports every failure with its name.
pub fn all<N: std::fmt::Display>(
    cases: impl IntoIterator<Item = (N, Result<Outcome, Failed>)>,
) -> Result<(), Failed> {
    let mut text = String::new();
    for (name, result) in cases {
        if let Err(failed) = result {
            let message = failed.message().unwrap_or_default();
            text.extend([
                name.to_string(),
                ": ".to_owned(),
                message.to_owned(),
                "\n".to_owned(),
            ]);
        }
    }
    if text.is_empty() {
        Ok(())
    } else {
        Err(text.into())
    }
}
