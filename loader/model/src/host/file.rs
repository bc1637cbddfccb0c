//! A host as a JSON file, written by hand or by `supplant plan --print-host`.
//!
//! A field that is left out has the usual value for such a machine; docs/plan.md says what each field means.

use crate::auxv::{AT_PAGESZ, AT_SYSINFO_EHDR, Auxv, tag_by_name, tag_name};
use crate::machine::Machine;
use crate::maps::Mapping;
use crate::page::PageSize;
use crate::space::MmapArea;

use super::form::{HostFile, Number, Piece};
use super::{Host, Ids, Limit, Overcommit, Randomize, Randomness, outermost_area};

/// The version of the format.
const SCHEMA: u32 = 1;
/// The most entries of an auxiliary vector; the kernel has room for fewer.
const AUXV_LIMIT: usize = 64;
/// The most random bits; no kernel has more.
const RANDOM_BITS_LIMIT: u32 = 36;

/// Why a file does not describe a host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostFileError {
    /// It is not JSON, or not in this format.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// A field has an impossible value.
    #[error("{field}: {reason}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn wrong<T>(field: &'static str, reason: impl Into<String>) -> Result<T, HostFileError> {
    Err(HostFileError::Value {
        field,
        reason: reason.into(),
    })
}

impl Host {
    /// Reads a host from JSON, with these random words if the file asks for randomness.
    ///
    /// # Errors
    ///
    /// It is not in the format, or it has impossible values.
    pub fn from_json(json: &[u8], randomness: Randomness) -> Result<Self, HostFileError> {
        let file: HostFile = serde_json::from_slice(json)?;
        if file.schema != SCHEMA {
            return wrong("schema", format!("is {}, must be {SCHEMA}", file.schema));
        }
        let Some(machine) = Machine::from_name(&file.machine) else {
            return wrong(
                "machine",
                format!("{:?} is not known, must be x86-64 or aarch64", file.machine),
            );
        };
        let size = file.page_size.unwrap_or(4096);
        let Some(page_size) = PageSize::new(size).filter(|_| machine.page_sizes().contains(&size))
        else {
            let known = machine.page_sizes();
            return wrong("page_size", format!("must be one of {known:?}"));
        };
        let mut host = Self::typical(machine, page_size);
        file.set_kernel(&mut host)?;
        file.set_process(&mut host, randomness);
        file.set_mmap_area(&mut host)?;
        file.set_kernel_mappings(&mut host)?;
        file.set_auxv(&mut host)?;
        set_vdso_header(&mut host);
        Ok(host)
    }

    /// This host in the same format, with every field.
    pub fn to_json(&self) -> String {
        let hex = |value| Some(Number::Hex(value));
        let file = HostFile {
            schema: SCHEMA,
            machine: self.machine.name().to_owned(),
            page_size: Some(self.page_size.get()),
            task_size: hex(self.task_size),
            mmap_base: match self.mmap_area {
                MmapArea::TopDown { base } | MmapArea::BottomUp { base } => hex(base),
            },
            legacy_layout: matches!(self.mmap_area, MmapArea::BottomUp { .. }),
            mmap_min_addr: hex(self.mmap_min_addr),
            lowest_hint: hex(self.lowest_hint),
            mmap_rnd_bits: Some(self.mmap_rnd_bits),
            stack_guard_gap: hex(self.stack_guard_gap),
            randomize: Some(self.randomize.into()),
            personality: hex(self.personality.into()),
            stack_limit: Some(self.stack_limit.into()),
            data_limit: Some(self.data_limit.into()),
            address_space_limit: Some(self.address_space_limit.into()),
            overcommit: Some(self.overcommit.into()),
            mdwe: self.mdwe,
            ids: Some(self.ids.into()),
            kernel_mappings: Some(self.kernel_mappings().map(Piece::from).collect()),
            vdso_sealed: self.vdso_sealed,
            auxv: Some(
                self.auxv
                    .pairs()
                    .iter()
                    .map(|&(tag, value)| (tag_name(tag), Number::Hex(value)))
                    .collect(),
            ),
        };
        // JSON can hold every value of these types.
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }
}

impl Host {
    /// The vDSO's mappings and the page for legacy system calls.
    fn kernel_mappings(&self) -> impl Iterator<Item = &Mapping> {
        let mappings = self.mappings.iter();
        mappings.filter(|mapping| mapping.is_vdso() || mapping.is_vsyscall())
    }
}

impl HostFile {
    fn set_kernel(&self, host: &mut Host) -> Result<(), HostFileError> {
        let (page, top) = (host.page_size, host.machine.stack_top());
        let take =
            |field: &mut u64, value: Option<Number>| *field = value.map_or(*field, Number::get);
        take(&mut host.task_size, self.task_size);
        if host.task_size < top || page.offset(host.task_size) != 0 || host.task_size > 1 << 56 {
            return wrong(
                "task_size",
                format!("must be in whole pages, from {top:#x} to 0x100000000000000"),
            );
        }
        take(&mut host.mmap_min_addr, self.mmap_min_addr);
        take(&mut host.lowest_hint, self.lowest_hint);
        take(&mut host.stack_guard_gap, self.stack_guard_gap);
        for (field, value) in [
            ("mmap_min_addr", host.mmap_min_addr),
            ("lowest_hint", host.lowest_hint),
            ("stack_guard_gap", host.stack_guard_gap),
        ] {
            if value > 1 << 40 || page.offset(value) != 0 {
                return wrong(field, "must be in whole pages, up to 0x10000000000");
            }
        }
        host.mmap_rnd_bits = self.mmap_rnd_bits.unwrap_or(host.mmap_rnd_bits);
        if host.mmap_rnd_bits > RANDOM_BITS_LIMIT {
            return wrong(
                "mmap_rnd_bits",
                format!("must be up to {RANDOM_BITS_LIMIT}"),
            );
        }
        if let Some(level) = self.randomize {
            (host.randomize, host.randomize_usually) = (level.into(), level.into());
        }
        host.overcommit = self.overcommit.map_or(host.overcommit, Overcommit::from);
        Ok(())
    }

    fn set_process(&self, host: &mut Host, randomness: Randomness) {
        host.personality = self
            .personality
            .map_or(host.personality, |bits| bits.get() as u32);
        host.stack_limit = self.stack_limit.map_or(host.stack_limit, Limit::from);
        host.data_limit = self.data_limit.map_or(host.data_limit, Limit::from);
        host.address_space_limit = self
            .address_space_limit
            .map_or(host.address_space_limit, Limit::from);
        host.mdwe = self.mdwe;
        host.ids = self.ids.map_or(host.ids, Ids::from);
        if host.randomize != Randomize::Nothing {
            host.randomness = randomness;
        }
    }

    /// If the file has no base, it is drawn at random, as in each exec.
    fn set_mmap_area(&self, host: &mut Host) -> Result<(), HostFileError> {
        if self.legacy_layout {
            host.mmap_area = MmapArea::BottomUp { base: 0 };
        }
        host.mmap_area = outermost_area(host);
        let range = 1_u64 << host.mmap_rnd_bits;
        let drawn = (host.randomness.mmap_base % range) * host.page_size.get();
        let base = match (self.mmap_base, host.mmap_area) {
            (Some(base), _) => base.get(),
            (None, MmapArea::TopDown { base }) => base.saturating_sub(drawn),
            (None, MmapArea::BottomUp { base }) => base.saturating_add(drawn),
        };
        if base >= host.task_size || host.page_size.offset(base) != 0 {
            return wrong(
                "mmap_base",
                format!("must be in whole pages, below {:#x}", host.task_size),
            );
        }
        host.mmap_area = match host.mmap_area {
            MmapArea::TopDown { .. } => MmapArea::TopDown { base },
            MmapArea::BottomUp { .. } => MmapArea::BottomUp { base },
        };
        Ok(())
    }

    fn set_kernel_mappings(&self, host: &mut Host) -> Result<(), HostFileError> {
        host.vdso_sealed = self.vdso_sealed;
        let Some(pieces) = &self.kernel_mappings else {
            return Ok(());
        };
        host.mappings = pieces.iter().map(Mapping::from).collect();
        if let Some(reason) = fault(host) {
            return wrong("kernel_mappings", reason);
        }
        Ok(())
    }

    fn set_auxv(&self, host: &mut Host) -> Result<(), HostFileError> {
        let Some(entries) = &self.auxv else {
            return Ok(());
        };
        if entries.len() > AUXV_LIMIT {
            return wrong("auxv", format!("has more than {AUXV_LIMIT} entries"));
        }
        let mut pairs = Vec::new();
        for (name, value) in entries {
            let Some(tag) = tag_by_name(name).or_else(|| name.parse().ok()) else {
                return wrong("auxv", format!("{name:?} is neither a tag nor a number"));
            };
            pairs.push((tag, value.get()));
        }
        host.auxv = Auxv::from_pairs(pairs);
        host.auxv.set(AT_PAGESZ, host.page_size.get());
        Ok(())
    }
}

/// The vDSO's ELF header is at the start of its code, whatever the file says.
fn set_vdso_header(host: &mut Host) {
    let mut mappings = host.mappings.iter();
    let code = mappings.find(|mapping| mapping.name.starts_with(b"[vdso]"));
    if let Some(start) = code.map(|mapping| mapping.range.start) {
        host.auxv.set(AT_SYSINFO_EHDR, start);
    }
}

/// The fault in a host's mappings, if there is one.
fn fault(host: &Host) -> Option<&'static str> {
    if host.kernel_mappings().count() < host.mappings.len() {
        return Some("names must be [vdso], [vvar], [vvar_...] or [vsyscall]");
    }
    let page = host.page_size;
    let ranges = || host.mappings.iter().map(|mapping| &mapping.range);
    if ranges().any(|range| range.is_empty() || page.offset(range.start | range.end) != 0) {
        return Some("must be in whole pages");
    }
    let mut vsyscall = host.mappings.iter().filter(|mapping| mapping.is_vsyscall());
    if vsyscall.any(|mapping| mapping.range.start < host.task_size) {
        return Some("[vsyscall] must be above user memory");
    }
    let vdso = host.mappings.iter().filter(|mapping| mapping.is_vdso());
    let vdso: Vec<_> = vdso.map(|mapping| &mapping.range).collect();
    let together = vdso.windows(2).all(|pair| pair[0].end == pair[1].start);
    if !together || vdso.iter().any(|range| range.end > host.task_size) {
        return Some("the mappings of the vDSO must be in user memory, without gaps");
    }
    None
}
