//! Reads memory through a caller's pointers without trusting them: for bad pointers, execve returns `EFAULT`.
//!
//! process_vm_readv(2) on this process itself reads existing memory and fails for missing memory. Arguments and environment
//! are close together, so a few calls read them all: memory is read in blocks, which are kept until the call ends.
#![allow(
    unsafe_code,
    reason = "system calls that read from any address into memory of our own"
)]

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use nix::errno::Errno;
use supplant_loader::{BadAddress, Strings};

/// No page is smaller, so a block that starts here can always be read completely or not at all.
const PAGE: usize = 4096;
const BLOCK: usize = 4 * PAGE;
/// The number of blocks that are kept: 1 MiB.
const KEPT: usize = 64;
const WORD: usize = size_of::<usize>();
/// More entries than can fit (6 MiB of pointers); further ones are only counted.
const ENTRIES_KEPT: usize = 1 << 20;

/// The part of this process's memory that was read.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    blocks: RefCell<Vec<(usize, Vec<u8>)>>,
}

/// There is no memory at the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

impl Memory {
    /// The string at an address. If it is longer than `limit` with its NUL, its first `limit` bytes.
    pub(crate) fn string(&self, address: usize, limit: usize) -> Result<CString, Fault> {
        let mut bytes = Vec::new();
        let mut next = address;
        while bytes.len() < limit {
            let ended = self.at(next, |part| {
                let end = part.iter().position(|&byte| byte == 0);
                bytes.extend_from_slice(&part[..end.unwrap_or(part.len())]);
                next = next.wrapping_add(part.len());
                end.is_some()
            })?;
            if ended {
                break;
            }
        }
        bytes.truncate(limit);
        // It was cut at the NUL, so it contains none.
        Ok(CString::new(bytes).unwrap_or_default())
    }

    /// The pointers of a null-terminated array; none for a null pointer.
    pub(crate) fn pointers(&self, address: usize) -> Result<Vec<usize>, Fault> {
        let mut pointers = Vec::new();
        while address != 0 && pointers.len() < ENTRIES_KEPT {
            let next = address.checked_add(pointers.len() * WORD).ok_or(Fault)?;
            match self.word(next)? {
                0 => break,
                pointer => pointers.push(pointer),
            }
        }
        Ok(pointers)
    }

    fn word(&self, address: usize) -> Result<usize, Fault> {
        if let Some(word) = self.at(address, |part| part.first_chunk().copied())? {
            return Ok(usize::from_ne_bytes(word));
        }
        // The word crosses the end of a block.
        let mut word = [0; WORD];
        for (index, byte) in word.iter_mut().enumerate() {
            let address = address.checked_add(index).ok_or(Fault)?;
            *byte = self.at(address, |part| part[0])?;
        }
        Ok(usize::from_ne_bytes(word))
    }

    /// Calls `look` with the readable bytes from an address on, at least one byte.
    fn at<T>(&self, address: usize, look: impl FnOnce(&[u8]) -> T) -> Result<T, Fault> {
        let mut blocks = self.blocks.borrow_mut();
        let holds =
            |(start, bytes): &(usize, Vec<u8>)| (*start..*start + bytes.len()).contains(&address);
        let index = if let Some(index) = blocks.iter().rposition(holds) {
            index
        } else {
            if blocks.len() == KEPT {
                blocks.clear();
            }
            blocks.push(read_block(address)?);
            blocks.len() - 1
        };
        let (start, bytes) = &blocks[index];
        Ok(look(&bytes[address - start..]))
    }
}

fn read_block(address: usize) -> Result<(usize, Vec<u8>), Fault> {
    let start = address & !(PAGE - 1);
    let mut bytes = vec![0; BLOCK];
    let count = match read_by_call(start, &mut bytes) {
        Err(Errno::EFAULT) => return Err(Fault),
        // A filter forbids the call, or the kernel does not have it.
        Err(_) => read_by_file(start, &mut bytes)?,
        Ok(count) => count,
    };
    bytes.truncate(count);
    if start + count <= address {
        return Err(Fault);
    }
    Ok((start, bytes))
}

fn read_by_call(start: usize, into: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // Page by page: if one large piece is not completely readable, the kernel reads nothing of it.
    let remote: [libc::iovec; BLOCK / PAGE] = std::array::from_fn(|index| libc::iovec {
        iov_base: std::ptr::without_provenance_mut(start.wrapping_add(index * PAGE)),
        iov_len: PAGE,
    });
    let own = nix::unistd::getpid().as_raw();
    // SAFETY: the kernel writes to the slice only, and reads only existing memory.
    let count = unsafe {
        libc::process_vm_readv(
            own,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as u64,
            0,
        )
    };
    Errno::result(count).map(|count| count as usize)
}

fn read_by_file(start: usize, into: &mut [u8]) -> Result<usize, Fault> {
    let file = File::open("/proc/self/mem").map_err(|_| Fault)?;
    file.read_at(into, start as u64).map_err(|_| Fault)
}

/// `argv` or `envp`: a null-terminated array of pointers to strings, or null.
#[derive(Debug)]
pub(crate) struct Vector {
    memory: Rc<Memory>,
    address: usize,
    entries: Vec<usize>,
}

impl Vector {
    pub(crate) fn new(memory: &Rc<Memory>, address: usize) -> Self {
        Self {
            memory: Rc::clone(memory),
            address,
            entries: Vec::new(),
        }
    }
}

impl From<Fault> for BadAddress {
    fn from(_: Fault) -> Self {
        Self
    }
}

impl Strings for Vector {
    /// The system call refuses a million entries in any case, so further ones are not counted.
    fn count(&mut self) -> Result<usize, BadAddress> {
        self.entries = self.memory.pointers(self.address)?;
        Ok(self.entries.len())
    }

    fn string(&mut self, index: usize, limit: u64) -> Result<CString, BadAddress> {
        let entry = self.entries.get(index).copied().ok_or(Fault)?;
        // One more byte shows that it is too long.
        Ok(self.memory.string(entry, limit as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pages, the last of which cannot be read.
    fn with_pages(test: impl FnOnce(*mut u8)) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping that replaces nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), 3 * PAGE, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let start = start.cast::<u8>();
        // SAFETY: within the mapping.
        let last = unsafe { start.add(2 * PAGE) };
        // SAFETY: the last page of the mapping just made.
        let result = unsafe { libc::mprotect(last.cast(), PAGE, libc::PROT_NONE) };
        assert_eq!(result, 0);
        test(start);
        // SAFETY: the mapping just made, which no code uses any more.
        unsafe { libc::munmap(start.cast(), 3 * PAGE) };
    }

    /// Writes bytes so that they end at the end of the readable pages.
    fn put_at_end(start: *mut u8, bytes: &[u8]) -> usize {
        let address = start.addr() + 2 * PAGE - bytes.len();
        let at = start.with_addr(address);
        // SAFETY: within the first two pages.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        address
    }

    #[test]
    fn a_string_that_ends_with_the_memory_is_read() {
        with_pages(|start| {
            let address = put_at_end(start, b"text\0");
            let string = Memory::default().string(address, 4096);
            assert_eq!(string, Ok(c"text".to_owned()));
        });
    }

    #[test]
    fn a_string_that_does_not_end_before_the_memory_does_is_a_fault() {
        with_pages(|start| {
            let address = put_at_end(start, b"text");
            assert_eq!(Memory::default().string(address, 4096), Err(Fault));
        });
    }

    #[test]
    fn a_string_over_the_limit_is_cut() {
        with_pages(|start| {
            let address = put_at_end(start, &[b'x'; 5000]);
            let string = Memory::default().string(address, 4096).unwrap();
            assert_eq!(string.count_bytes(), 4096);
        });
    }

    #[test]
    fn addresses_that_lead_nowhere_are_faults() {
        for address in [0, 1, 4096, usize::MAX, usize::MAX - 7, 1 << 63] {
            assert_eq!(Memory::default().string(address, 10), Err(Fault));
            assert_eq!(Memory::default().word(address), Err(Fault));
        }
    }

    #[test]
    fn a_null_vector_is_empty_and_one_without_an_end_is_a_fault() {
        let memory = Rc::new(Memory::default());
        assert_eq!(Vector::new(&memory, 0).count(), Ok(0));
        with_pages(|start| {
            let address = put_at_end(start, &1_usize.to_ne_bytes());
            let fault = Err(BadAddress::from(Fault));
            assert_eq!(Vector::new(&memory, address).count(), fault);
        });
    }
}
