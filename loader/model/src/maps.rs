//! The mappings of a process, as /proc/PID/maps lists them.

use std::ops::Range;

use crate::image::Permissions;

/// One line of /proc/PID/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Addresses, half open.
    pub range: Range<u64>,
    /// The permitted kinds of access.
    pub permissions: Permissions,
    /// Whether writes reach the file.
    pub shared: bool,
    /// Offset in the file.
    pub offset: u64,
    /// The file's device, as major and minor number.
    pub device: (u32, u32),
    /// The file's inode; 0 without a file.
    pub inode: u64,
    /// The file's path, or a label such as `[stack]`; empty for anonymous memory.
    pub name: Vec<u8>,
}

impl Mapping {
    /// Whether this is the page for legacy system calls, which is in the kernel's half and can never be removed.
    pub fn is_vsyscall(&self) -> bool {
        is_vsyscall(&self.name)
    }

    /// Whether this belongs to the vDSO: its code, or the data that the kernel maps with it.
    pub fn is_vdso(&self) -> bool {
        is_vdso(&self.name)
    }
}

/// Parses the whole file; `None` if a line is malformed.
pub fn parse(text: &[u8]) -> Option<Vec<Mapping>> {
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(parse_line)
        .collect()
}

/// The fields of one line, without a copy of the name.
pub struct Line<'a> {
    /// Addresses, half open.
    pub range: Range<u64>,
    permissions: &'a [u8],
    offset: u64,
    device: (u32, u32),
    inode: u64,
    /// The file's path, or a label.
    pub name: &'a [u8],
}

impl<'a> Line<'a> {
    /// `None` if the line is malformed. Allocates nothing.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let (start, end) = field()?.split_once('-')?;
        let permissions = field()?.as_bytes();
        let offset = hex(field()?)?;
        let (major, minor) = field()?.split_once(':')?;
        let inode = field()?.parse().ok()?;
        let name = fields.next().unwrap_or_default();
        let blanks = name.iter().take_while(|&&byte| byte == b' ').count();
        Some(Self {
            range: hex(start)?..hex(end)?,
            permissions,
            offset,
            device: (hex(major)? as u32, hex(minor)? as u32),
            inode,
            name: &name[blanks..],
        })
    }

    /// Whether `mode`, a letter of `rwxs`, is among the permissions.
    pub fn allows(&self, mode: u8) -> bool {
        self.permissions.contains(&mode)
    }

    /// Whether it is the ring of an asynchronous I/O context.
    pub fn is_asynchronous_io(&self) -> bool {
        self.name.starts_with(b"/[aio]")
    }

    /// Whether it is the part of a ring of io_uring that every ring has once: the place of its requests.
    pub fn is_io_uring(&self) -> bool {
        const REQUESTS: u64 = 0x1000_0000;
        self.offset == REQUESTS && self.name.starts_with(b"anon_inode:[io_uring]")
    }

    /// See [`Mapping::is_vsyscall`].
    pub fn is_vsyscall(&self) -> bool {
        is_vsyscall(self.name)
    }

    /// See [`Mapping::is_vdso`].
    pub fn is_vdso(&self) -> bool {
        is_vdso(self.name)
    }
}

fn parse_line(line: &[u8]) -> Option<Mapping> {
    let line = Line::parse(line).filter(|line| line.permissions.len() >= 4)?;
    Some(Mapping {
        permissions: Permissions {
            read: line.allows(b'r'),
            write: line.allows(b'w'),
            execute: line.allows(b'x'),
        },
        shared: line.allows(b's'),
        range: line.range,
        offset: line.offset,
        device: line.device,
        inode: line.inode,
        name: line.name.to_vec(),
    })
}

fn is_vsyscall(name: &[u8]) -> bool {
    name == b"[vsyscall]"
}

fn is_vdso(name: &[u8]) -> bool {
    name.starts_with(b"[vdso]") || name.starts_with(b"[vvar")
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_every_field_and_names_may_hold_blanks() {
        let text = b"7ff001b0d000-7ff001b2f000 rw-p 00000000 00:00 0 \n\
                     7ff001d75000-7ff001d7c000 r-xs 00002000 fe:01 325745                     /a b\n";
        let mappings = parse(text).expect("both lines are well formed");
        assert_eq!((mappings.len(), mappings[0].name.len()), (2, 0));
        let expected = Mapping {
            range: 0x7ff0_01d7_5000..0x7ff0_01d7_c000,
            permissions: Permissions {
                read: true,
                write: false,
                execute: true,
            },
            shared: true,
            offset: 0x2000,
            device: (0xfe, 1),
            inode: 325_745,
            name: b"/a b".to_vec(),
        };
        assert_eq!(mappings[1], expected);
    }

    #[test]
    fn what_is_no_line_of_maps_is_refused() {
        assert_eq!(parse(b"zzz\n"), None);
        assert_eq!(parse(b"1000-2000 r\n"), None);
    }
}
