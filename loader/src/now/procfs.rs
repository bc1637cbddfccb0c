//! Reading /proc.
//!
//! [`read`] reads a file in one call, where `std::fs::read` would make many. [`lines`] and [`numbers`] allocate nothing and
//! take no lock: they are for code that runs while other threads are stopped at any point, or in the child of a process with
//! threads. The calling thread is named `thread-self`: `self` is the first thread, which may be gone.
#![allow(unsafe_code, reason = "getdents64, which no crate wraps")]

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::ops::Deref;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::str::FromStr;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{HostFault, RefusedCall};
pub(crate) use crate::status::decimal;

const USUAL_SIZE: usize = 16 * 1024;

/// A whole file under /proc.
pub(crate) fn read(path: &'static str) -> Result<Vec<u8>, HostFault> {
    read_file(path, USUAL_SIZE).map_err(|error| HostFault::from(RefusedCall::of(path, &error)))
}

/// The number in a file under /proc/sys; `None` if the file is missing or unreadable.
pub(crate) fn number(path: &str) -> Option<u32> {
    let mut bytes = [0; 32];
    let count = File::open(path).ok()?.read(&mut bytes).ok()?;
    std::str::from_utf8(&bytes[..count])
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn read_file(path: &str, capacity: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(capacity)?;
    bytes.resize(capacity, 0);
    let mut size = 0;
    loop {
        let count = file.read(&mut bytes[size..])?;
        if count == 0 {
            bytes.truncate(size);
            return Ok(bytes);
        }
        size += count;
        if size == bytes.len() {
            bytes.try_reserve_exact(size)?;
            bytes.resize(size * 2, 0);
        }
    }
}

/// Passes each line of a file to `each`, without its newline. A line longer than `buffer` is cut.
pub(crate) fn lines(
    path: &CStr,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> Result<(), Errno> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let (mut filled, mut cut) = (0, false);
    loop {
        let count = retry(|| nix::unistd::read(&file, &mut buffer[filled..]))?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let mut start = 0;
        while let Some(size) = buffer[start..filled].iter().position(|&byte| byte == b'\n') {
            if !std::mem::take(&mut cut) {
                each(&buffer[start..start + size]);
            }
            start += size + 1;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == buffer.len() {
            if !std::mem::replace(&mut cut, true) {
                each(buffer);
            }
            filled = 0;
        }
    }
}

/// A field of /proc/PID/stat; proc(5) counts them from 1, and those after the name are meant. Names may contain blanks and
/// parentheses, so fields are counted from the last parenthesis.
pub(crate) fn stat_field<T: FromStr>(path: &CStr, field: usize, buffer: &mut [u8]) -> Option<T> {
    const FIRST: usize = 3;
    let mut found = None;
    let read = lines(path, buffer, |line| {
        let name_end = line.iter().rposition(|&byte| byte == b')');
        let mut fields = name_end
            .and_then(|end| line.get(end + 2..))
            .into_iter()
            .flat_map(|fields| fields.split(|&byte| byte == b' '));
        found = fields.nth(field - FIRST).and_then(decimal);
    });
    read.ok().and(found)
}

/// Whether the thread or process that has this status has ended and was not waited for. `None` if the file cannot be read.
pub(crate) fn has_ended(status: &CStr) -> Option<bool> {
    let mut ended = false;
    let read = lines(status, &mut [0; 1024], |line| {
        if let Some(state) = line.strip_prefix(b"State:") {
            ended = state.trim_ascii().starts_with(b"Z") || state.trim_ascii().starts_with(b"X");
        }
    });
    read.ok().map(|()| ended)
}

/// Passes each number in a directory such as /proc/self/fd to `each`, in the kernel's order.
///
/// The descriptor that this function uses itself is left out.
pub(crate) fn numbers(
    path: &CStr,
    buffer: &mut [u8],
    mut each: impl FnMut(i32),
) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(path, flags, Mode::empty())?;
    loop {
        let count = retry(|| entries(&directory, buffer))?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while let Some((name, next)) = entry(rest) {
            if let Some(number) = decimal(name).filter(|&number| number != directory.as_raw_fd()) {
                each(number);
            }
            rest = next;
        }
    }
}

/// The path of a file under /proc, made without allocating.
pub(crate) struct ProcPath {
    bytes: [u8; 64],
}

impl ProcPath {
    /// That of one of this process's threads. `name` is short: one of the files that the kernel puts there.
    pub(crate) fn of_thread(thread: i32, name: &str) -> Self {
        Self::new(format_args!("/proc/self/task/{thread}/{name}"))
    }

    /// The status of a process.
    pub(crate) fn status_of(process: i32) -> Self {
        Self::new(format_args!("/proc/{process}/status"))
    }

    fn new(text: fmt::Arguments<'_>) -> Self {
        let mut path = Self { bytes: [0; 64] };
        let mut rest = &mut path.bytes[..63];
        // What does not fit is cut, and then there is no such file.
        let _ = rest.write_fmt(text);
        path
    }
}

impl Deref for ProcPath {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

fn entries(directory: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (number, place) = (libc::SYS_getdents64, buffer.as_mut_ptr());
    // SAFETY: the kernel writes at most the buffer's size to it.
    let count = unsafe { libc::syscall(number, directory.as_raw_fd(), place, buffer.len()) };
    Errno::result(count).map(|count| count as usize)
}

/// The name in the first `struct linux_dirent64`, and the bytes after it: inode, offset, size of the record, type, name.
fn entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const SIZE: usize = 16;
    const NAME: usize = 19;
    let size = usize::from(u16::from_ne_bytes(*bytes.get(SIZE..)?.first_chunk()?));
    let name = bytes.get(NAME..size)?.split(|&byte| byte == 0).next()?;
    Some((name, &bytes[size..]))
}

/// Repeats the call as long as a signal interrupts it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => (),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_the_buffer_and_none_is_lost() {
        let all = std::fs::read("/proc/self/status").expect("/proc is mounted");
        let expected: Vec<_> = all
            .split(|&byte| byte == b'\n')
            .map(|line| &line[..line.len().min(7)])
            .map(|line| line.split(|&byte| byte == b':').next())
            .collect();
        let mut seen = Vec::new();
        let mut buffer = [0; 7];
        lines(c"/proc/self/status", &mut buffer, |line| {
            seen.push(line.to_vec());
        })
        .expect("/proc is mounted");
        let seen: Vec<_> = seen
            .iter()
            .map(|line| line.split(|&byte| byte == b':').next())
            .collect();
        assert_eq!(seen[..], expected[..expected.len() - 1]);
    }

    #[test]
    fn descriptors_are_listed_without_the_one_of_the_listing() {
        let mut seen = Vec::new();
        numbers(c"/proc/thread-self/fd", &mut [0; 512], |number| {
            seen.push(number);
        })
        .expect("/proc is mounted");
        assert!(seen.starts_with(&[0, 1, 2]) && seen.is_sorted(), "{seen:?}");
    }
}
