//! A file system in userspace that answers when it is told to.
//!
//! The protocol is that of include/uapi/linux/fuse.h.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use support::check;
use support::system::system_call;

/// A directory that exists everywhere, and a file in it.
const DIRECTORY: &std::ffi::CStr = c"/sys/kernel";
pub(crate) const FILE: &str = "/sys/kernel/supplant";

/// The kernel's side, mounted in a mount namespace of the calling thread.
pub(crate) struct Silent(File);

impl Silent {
    pub(crate) fn mount() -> io::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        mount(c"none", c"/", private, "")?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        mount(c"fuse", DIRECTORY, 0, &options)?;
        let mut silent = Self(device);
        silent.begin()?;
        Ok(silent)
    }

    /// Answers the first request, which agrees on a version.
    fn begin(&mut self) -> io::Result<()> {
        let unique = self.question()?;
        let mut answer = [0_u8; 64];
        for (at, word) in [
            (0, 7_u32),
            (4, 31),
            (16, 12 << 16 | 16),
            (20, 4096),
            (24, 1),
        ] {
            answer[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        self.write(unique, 0, &answer)
    }

    /// Waits for a request, and returns its number.
    fn question(&mut self) -> io::Result<u64> {
        let mut request = vec![0; 256 * 1024];
        let _ = self.0.read(&mut request)?;
        let unique = request[8..16].try_into().map_err(io::Error::other)?;
        Ok(u64::from_ne_bytes(unique))
    }

    /// Answers a request: there is no such file.
    pub(crate) fn answer(&mut self) {
        if let Ok(unique) = self.question() {
            let _ = self.write(unique, -libc::ENOENT, &[]);
        }
    }

    fn write(&mut self, unique: u64, error: i32, answer: &[u8]) -> io::Result<()> {
        let size = 16 + answer.len() as u32;
        let mut bytes = [size.to_ne_bytes(), error.to_ne_bytes()].concat();
        bytes.extend_from_slice(&unique.to_ne_bytes());
        bytes.extend_from_slice(answer);
        self.0.write_all(&bytes)
    }
}

fn mount(
    source: &std::ffi::CStr,
    target: &std::ffi::CStr,
    flags: u64,
    options: &str,
) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    // SAFETY: the strings are terminated.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            c"fuse".as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    check(result)
}

/// Interrupts what the thread waits for, by a signal whose handler does nothing.
pub(crate) fn interrupt(thread: i32) -> io::Result<()> {
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    system_call(libc::SYS_tkill, [thread as u64, libc::SIGUSR1 as u64]).map(drop)
}
