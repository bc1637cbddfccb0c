//! Standard output is for the report alone: programs that run on the way to it write to standard error instead.

use std::fs::File;
use std::io::{self, stderr, stdout};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::unistd::dup2_stdout;

/// While this is there, descriptor 1 leads where descriptor 2 leads, in this process and in those that it starts.
pub(super) struct Aside {
    /// `None`: standard output is closed, and no report can be spoilt.
    stdout: Option<OwnedFd>,
}

impl Aside {
    /// A program without standard error writes to nowhere.
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
            // It was there before, and a number that is taken can be taken over.
            let _ = dup2_stdout(stdout);
        }
    }
}
