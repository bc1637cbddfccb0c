//! Runs a program that reports its state line by line in each way, and compares the relevant lines.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Call, Ending, Outcome, builds, difference, test_binaries};

/// One of the test programs.
pub fn program(name: &str) -> PathBuf {
    test_binaries().join("glibc-static").join(name)
}

/// One of the test programs without a libc.
pub fn bare(name: &str) -> PathBuf {
    test_binaries().join("bare").join(name)
}

/// An executable file with these bytes, in a directory of the test.
pub fn script(directory: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    executable(&path, content);
    path
}

/// Copies a program.
pub fn copy(from: impl AsRef<Path>, to: &Path) {
    executable(to, std::fs::read(from).expect("it is there"));
}

fn executable(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).expect("the directory is ours");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("the file is ours");
    until_closed(path);
}

/// Waits for children that other tests forked while the file was open for writing: it is busy until they close it.
pub fn until_closed(path: &Path) {
    let file = std::fs::File::open(path).expect("it was just made");
    let lease = |kind: i32| {
        // SAFETY: takes no pointer.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) }
    };
    let refused = || lease(libc::F_RDLCK) < 0 && Errno::last() == Errno::EAGAIN;
    while refused() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    lease(libc::F_UNLCK);
}

/// The lines of `tell` after the setup that start with one of the keys; they are the same in each way.
pub fn told(keys: &[&str], setup: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Outcome {
    let told = alike(&Call::new(program("tell")).setup(setup), keys);
    assert_eq!(told.ending, Ending::Exited(42), "{told:?}");
    told
}

/// The same for `attributes`.
pub fn attributes(
    keys: &[&str],
    setup: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Outcome {
    let told = alike(&Call::new(program("attributes")).setup(setup), keys);
    assert_eq!(told.ending, Ending::Exited(42), "{told:?}");
    told
}

/// Runs the call by the kernel, by the library and by each build of the command: same ending, same standard error, and the same
/// lines that start with one of the keys. Returns the kernel's outcome with these lines.
pub fn alike(call: &Call, keys: &[&str]) -> Outcome {
    let kernel = kept(call.by_kernel(), keys);
    for (way, ours) in our_ways(call) {
        let ours = kept(ours, keys);
        let shown = || {
            difference(&kernel, &ours)
                .chars()
                .take(2000)
                .collect::<String>()
        };
        assert!(kernel == ours, "{way}: {}", shown());
    }
    kernel
}

fn our_ways(call: &Call) -> impl Iterator<Item = (String, Outcome)> + '_ {
    let by_command = |build: &Path| (build.display().to_string(), call.by_command(build));
    let builds = builds().into_iter();
    [("library".to_owned(), call.by_library())]
        .into_iter()
        .chain(builds.map(move |build| by_command(&build)))
}

/// Keeps only the lines that start with one of the keys. Pipes have new numbers in each run.
pub fn kept(mut outcome: Outcome, keys: &[&str]) -> Outcome {
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let lines = text
        .lines()
        .filter(|line| keys.iter().any(|key| line.starts_with(key)))
        .map(|line| match line.split_once("pipe:[") {
            Some((before, _)) => format!("{before}pipe\n"),
            None => format!("{line}\n"),
        });
    outcome.stdout = lines.collect::<String>().into_bytes();
    outcome
}

impl Outcome {
    /// Whether standard output has this line.
    pub fn has(&self, line: &str) -> bool {
        self.lines().any(|other| other == line)
    }

    /// The lines of standard output.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        str::from_utf8(&self.stdout).unwrap_or("").lines()
    }
}

/// Runs a function in a forked child, which exits with the result.
pub fn forked(child: impl Fn() -> i32) -> Ending {
    // A child that is forked while another thread finds this folder would wait for that thread for ever.
    super::place::target();
    // SAFETY: the child has one thread; glibc's malloc is usable after fork.
    match unsafe { libc::fork() } {
        // SAFETY: ends the child at once.
        0 => unsafe { libc::_exit(child()) },
        pid => {
            let mut status = 0;
            // SAFETY: the child's process id and a valid pointer.
            let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert_eq!(waited, pid, "it is our child");
            super::outcome::ending(std::os::unix::process::ExitStatusExt::from_raw(status))
        }
    }
}

/// `BUILD run OPTIONS...`, for a call by the kernel.
pub fn run(build: &Path, options: &[&str]) -> Call {
    Call::new(build).args(["run"]).args(options)
}
