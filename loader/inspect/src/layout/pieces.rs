//! The contents of a mapping: inside one page the file's bytes, the zeroed tail, and bytes that are mapped only because
//! whole pages are mapped.

use std::ops::Range;

use serde::Serialize;

use crate::auxv::{AT_EXECFN, AT_PLATFORM, AT_RANDOM};
use crate::maps::Mapping;
use crate::page::PageSize;

use super::evidence::Evidence;
use super::owners::{is_anonymous, page_ranges, shows};
use super::{File, Header, Role, hex_range};

/// A part of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Addresses, half open.
    #[serde(serialize_with = "hex_range")]
    pub range: Range<u64>,
    /// Its contents.
    pub content: Content,
    /// Its program header.
    pub header: Option<usize>,
    /// Whether it is made read-only when relocation is done (`PT_GNU_RELRO`).
    pub relro: bool,
}

/// The contents of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Bytes of a segment.
    File,
    /// Bytes of the file that belong to no segment, mapped because only whole pages can be mapped.
    Beside,
    /// The end of a segment's last page, zeroed: the beginning of its bss.
    ZeroedTail,
    /// Zeros of a segment without bytes in the file.
    Bss,
    /// Zeros after the end of a segment, to the end of the page.
    Rounding,
    /// The heap.
    Heap,
    /// The stack below the stack pointer of the first instruction.
    StackRoom,
    /// argc, argv, envp and the auxiliary vector.
    StackTables,
    /// The 16 bytes of AT_RANDOM.
    StackRandom,
    /// The platform's name, and the random gap below the strings.
    StackGap,
    /// The strings of argv.
    Arguments,
    /// The strings of envp.
    Environment,
    /// The path of AT_EXECFN, and the word at the end.
    StackPath,
    /// Anything else.
    Other,
}

impl Content {
    /// The contents in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::File => "the segment's bytes",
            Self::Beside => "beside the segment: mapped because only whole pages can be mapped",
            Self::ZeroedTail => "zeroed tail of the page: where the bss begins",
            Self::Bss => "bss: anonymous zeros",
            Self::Rounding => "zeros to the end of the page",
            Self::Heap => "heap",
            Self::StackRoom => "room to grow down into",
            Self::StackTables => "argc, argv, envp, auxiliary vector",
            Self::StackRandom => "16 random bytes (AT_RANDOM)",
            Self::StackGap => "platform name, random gap",
            Self::Arguments => "argument strings",
            Self::Environment => "environment strings",
            Self::StackPath => "path (AT_EXECFN), a null word",
            Self::Other => "",
        }
    }

    /// A word for the legend of a picture.
    pub fn short(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Beside => "beside",
            Self::ZeroedTail => "zeroed tail",
            Self::Bss => "bss",
            Self::Rounding => "rounding",
            Self::Heap => "heap",
            Self::StackRoom => "room",
            Self::StackTables => "tables",
            Self::StackRandom => "random",
            Self::StackGap => "gap",
            Self::Arguments => "arguments",
            Self::Environment => "environment",
            Self::StackPath => "path",
            Self::Other => "",
        }
    }
}

/// The pieces of a mapping of a file: split at the start and the end of each segment and of RELRO.
pub(super) fn of_file(mapping: &Mapping, file: &File, page: PageSize) -> Vec<Piece> {
    let view = View::new(mapping, file, page);
    let ranges = split(&mapping.range, view.cuts());
    joined(ranges.iter().map(|range| view.piece(range)))
}

/// A mapping, and the segments of its file that it contains.
struct View<'a> {
    mapping: &'a Mapping,
    is_anonymous: bool,
    headers: Vec<&'a Header>,
    relro: Vec<Range<u64>>,
    bias: u64,
    page: PageSize,
}

impl<'a> View<'a> {
    fn new(mapping: &'a Mapping, file: &'a File, page: PageSize) -> Self {
        let is_anonymous = is_anonymous(mapping);
        let shown = |header: &&Header| {
            if is_anonymous {
                overlap(&page_ranges(header, file.bias, page)[1], &mapping.range)
            } else {
                shows(header, file.bias, mapping, page)
            }
        };
        let relro = file.binary.of_kind("PT_GNU_RELRO");
        Self {
            mapping,
            is_anonymous,
            headers: file.binary.loads().filter(shown).collect(),
            relro: relro
                .map(|header| relro_range(header, file.bias, page))
                .collect(),
            bias: file.bias,
            page,
        }
    }

    fn cuts(&self) -> Vec<u64> {
        let of_header = |header: &&Header| {
            let [start, file_end, end] = [header.vaddr, header.file_end(), header.memory_end()]
                .map(|vaddr| vaddr.wrapping_add(self.bias));
            [start, file_end, end, self.page.ceil(end).unwrap_or(end)]
        };
        let mut cuts: Vec<u64> = self.headers.iter().flat_map(of_header).collect();
        cuts.extend(self.relro.iter().flat_map(|range| [range.start, range.end]));
        cuts
    }

    /// The contents of a range in which no segment ends. Bytes of one segment have priority over bytes beside another one.
    fn piece(&self, range: &Range<u64>) -> Piece {
        let said = self.headers.iter().filter_map(|header| {
            let content = self.content(header, range.start)?;
            Some((content, header.index))
        });
        let said: Vec<_> = said.collect();
        let own = said.iter().find(|(content, _)| *content == Content::File);
        let otherwise = if self.mapping.name == b"[heap]" {
            Content::Heap
        } else {
            Content::Other
        };
        let (content, header) = own
            .or(said.last())
            .map_or((otherwise, None), |&(content, index)| {
                (content, Some(index))
            });
        Piece {
            range: range.clone(),
            content,
            header,
            relro: self.relro.iter().any(|relro| overlap(relro, range)),
        }
    }

    /// The contents at an address in the pages of one segment.
    fn content(&self, header: &Header, address: u64) -> Option<Content> {
        let [bytes, bss] = page_ranges(header, self.bias, self.page);
        let start = header.vaddr.wrapping_add(self.bias);
        let distance = address.wrapping_sub(start);
        if self.is_anonymous {
            let is_inside = distance < header.memory_size;
            let content = if is_inside {
                Content::Bss
            } else {
                Content::Rounding
            };
            return bss.contains(&address).then_some(content);
        }
        // Only a write zeroes the tail: a read-only segment keeps the file's bytes.
        let is_zeroed = header.memory_size > header.file_size && header.permissions.write;
        let content = if distance < header.file_size {
            Content::File
        } else if address >= start && is_zeroed {
            Content::ZeroedTail
        } else {
            Content::Beside
        };
        bytes.contains(&address).then_some(content)
    }
}

/// The range that the dynamic linker makes read-only: whole pages, rounded down at both ends.
fn relro_range(header: &Header, bias: u64, page: PageSize) -> Range<u64> {
    let start = header.vaddr.wrapping_add(bias);
    page.floor(start)..page.floor(start.wrapping_add(header.memory_size))
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The pieces of a stack as it was at the first instruction.
pub(super) fn of_stack(range: &Range<u64>, evidence: &Evidence) -> Vec<Piece> {
    use Content::{
        Arguments, Environment, StackGap, StackPath, StackRandom, StackRoom, StackTables,
    };
    let (notes, auxv) = (&evidence.notes, &evidence.auxv);
    let marks = [
        (Some(range.start), StackRoom),
        (notes.start_stack, StackTables),
        (auxv.get(AT_RANDOM), StackRandom),
        (auxv.get(AT_PLATFORM), StackGap),
        (notes.arg_start, Arguments),
        (notes.env_start, Environment),
        (auxv.get(AT_EXECFN), StackPath),
    ];
    let mut inside: Vec<(u64, Content)> = marks
        .iter()
        .filter_map(|&(address, content)| Some((address.filter(|at| range.contains(at))?, content)))
        .collect();
    // Without facts about the stack, the size of the room is not known either.
    if inside.len() < 2 {
        return vec![whole(range, Content::Other)];
    }
    inside.sort_by_key(|mark| mark.0);
    let ends = inside.iter().skip(1).map(|mark| mark.0).chain([range.end]);
    let pieces = inside
        .iter()
        .zip(ends)
        .map(|(&(start, content), end)| whole(&(start..end), content));
    pieces.filter(|piece| !piece.range.is_empty()).collect()
}

/// One piece.
pub(super) fn whole(range: &Range<u64>, content: Content) -> Piece {
    Piece {
        range: range.clone(),
        content,
        header: None,
        relro: false,
    }
}

/// The pieces of a mapping without a file.
pub(super) fn of_role(role: Role, range: &Range<u64>, evidence: &Evidence) -> Vec<Piece> {
    match role {
        Role::Stack => of_stack(range, evidence),
        Role::Heap => vec![whole(range, Content::Heap)],
        _ => vec![whole(range, Content::Other)],
    }
}

fn split(range: &Range<u64>, mut cuts: Vec<u64>) -> Vec<Range<u64>> {
    cuts.retain(|cut| range.start < *cut && *cut < range.end);
    cuts.sort_unstable();
    cuts.dedup();
    let starts = std::iter::once(range.start).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([range.end]);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// Joins neighbours with the same contents.
fn joined(pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last)
                if (last.content, last.header, last.relro)
                    == (piece.content, piece.header, piece.relro) =>
            {
                last.range.end = piece.range.end;
            }
            _ => joined.push(piece),
        }
    }
    joined
}
