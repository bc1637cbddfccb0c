//! Standard output is only for the report: the programs that run during a comparison write to standard error instead.

use std::fs::File;
use std::io::{self, stderr, stdout};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::unistd::dup2_stdout;

/// While this value exists, descriptor 1 refers to the same file as descriptor 2, in this process and its children.
pub(super) struct Aside {
    /// `None`: standard output is closed, so there is no report to protect.
    stdout: Option<OwnedFd>,
}

impl Aside {
    /// If standard error is closed, the programs write to /dev/null.
    pub(super) fn new() -> io::Result<Self> {
        let Ok(stdout) = stdout().as_fd().try_clone_to_owned() else {
            return Ok(Self { stdout: None });
        };
        if dup2_stdout(stderr()).is_err() {
            let nowhere = File::options().write(true).open("/dev/null")?;
            dup2_stdout(nowhere)?;
        }
        Ok(Self {
            stdout: Some(stdout),
        })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(stdout) = &self.stdout {
            // The descriptor was open before, and dup2 can replace an open descriptor.
            let _ = dup2_stdout(stdout);
        }
    }
}
