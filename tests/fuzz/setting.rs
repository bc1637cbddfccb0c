//! Hosts, choices, arguments and processes: everything besides the files that a plan and a table depend on.

use std::ffi::CString;

use arbitrary::{Arbitrary as _, Result, Unstructured};
use serde_json::{Map, Value, json};
use supplant_model::arguments::Arguments;
use supplant_model::credentials::FileCapabilities;
use supplant_model::host::{Host, Randomness};
use supplant_model::identity::IdentityChange;
use supplant_model::machine::Machine;
use supplant_model::maps::Mapping;
use supplant_model::page::PageSize;
use supplant_model::plan::Choices;
use supplant_model::process::{Inheritance, Process, Rseq, SignalAction};
use supplant_model::status::Status;

use crate::program::value;

/// A host in the form of a file, with any values in its fields.
pub fn host_file(u: &mut Unstructured<'_>) -> Result<Value> {
    let machine = if u.ratio(1, 4)? { "aarch64" } else { "x86-64" };
    let mut fields = Map::new();
    fields.insert("schema".to_owned(), json!(1));
    fields.insert("machine".to_owned(), json!(machine));
    for name in NUMBERS {
        if u.ratio(1, 4)? {
            fields.insert((*name).to_owned(), number(u)?);
        }
    }
    for name in ["stack_limit", "data_limit", "address_space_limit"] {
        if u.ratio(1, 4)? {
            fields.insert(name.to_owned(), json!([number(u)?, limit(u)?]));
        }
    }
    for name in ["legacy_layout", "mdwe", "vdso_sealed"] {
        fields.insert(name.to_owned(), json!(u.ratio(1, 8)?));
    }
    if u.ratio(1, 3)? {
        let size: u64 = *u.choose(&[4096, 16384, 65536, 12288])?;
        fields.insert("page_size".to_owned(), json!(size));
    }
    if u.ratio(1, 4)? {
        fields.insert("mmap_rnd_bits".to_owned(), json!(u.int_in_range(0..=40)?));
    }
    if u.arbitrary()? {
        let level = *u.choose(&["nothing", "all-but-brk", "all"])?;
        fields.insert("randomize".to_owned(), json!(level));
    }
    if u.ratio(1, 4)? {
        let [uid, euid, gid, egid] = u.arbitrary::<[u8; 4]>()?;
        let ids = json!({"uid": uid, "euid": euid, "gid": gid, "egid": egid});
        fields.insert("ids".to_owned(), ids);
    }
    if u.ratio(1, 3)? {
        fields.insert("kernel_mappings".to_owned(), kernel_mappings(u)?);
    }
    if u.ratio(1, 4)? {
        fields.insert("auxv".to_owned(), auxv(u)?);
    }
    if u.ratio(1, 6)? {
        fields.insert("overcommit".to_owned(), overcommit(u)?);
    }
    Ok(Value::Object(fields))
}

const NUMBERS: &[&str] = &[
    "task_size",
    "mmap_base",
    "mmap_min_addr",
    "lowest_hint",
    "stack_guard_gap",
    "personality",
];

fn number(u: &mut Unstructured<'_>) -> Result<Value> {
    let value = value(u)?;
    Ok(if u.arbitrary()? {
        json!(format!("{value:#x}"))
    } else {
        json!(value)
    })
}

fn limit(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(if u.arbitrary()? {
        number(u)?
    } else {
        Value::Null
    })
}

fn overcommit(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=2_u8)? {
        0 => json!("always"),
        1 => json!({"guess": {"total": number(u)?}}),
        _ => json!({"never": {"left": number(u)?}}),
    })
}

/// Mostly adjacent mappings of a vDSO.
fn kernel_mappings(u: &mut Unstructured<'_>) -> Result<Value> {
    let mut start = value(u)?;
    let mut pieces = Vec::new();
    for name in ["[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]", "[heap]"] {
        if u.ratio(1, 3)? {
            continue;
        }
        if u.ratio(1, 8)? {
            start = value(u)?;
        }
        let end = start.wrapping_add(u.int_in_range(0..=4_u64)? << u.int_in_range(12..=16)?);
        let permissions = *u.choose(&["r--", "r-x", "--x", "rw-", "", "odd"])?;
        pieces.push(json!({
            "start": format!("{start:#x}"),
            "end": end,
            "permissions": permissions,
            "name": name,
        }));
        start = end;
    }
    Ok(Value::Array(pieces))
}

fn auxv(u: &mut Unstructured<'_>) -> Result<Value> {
    const TAGS: [&str; 12] = [
        "AT_SYSINFO_EHDR",
        "AT_PHDR",
        "AT_RANDOM",
        "AT_EXECFN",
        "AT_PLATFORM",
        "AT_PAGESZ",
        "AT_BASE",
        "at_entry",
        "AT_EXECFD",
        "51",
        "4711",
        "AT_NULL",
    ];
    let count = u.int_in_range(0..=16_usize)?;
    let entries = (0..count).map(|_| Ok(json!([*u.choose(&TAGS)?, number(u)?])));
    Ok(Value::Array(entries.collect::<Result<_>>()?))
}

/// A valid host, with some memory of an old program.
pub fn host(u: &mut Unstructured<'_>) -> Result<Host> {
    let file = host_file(u)?.to_string();
    let randomness = Randomness::from_seed(u.arbitrary()?);
    let typical = || Host::typical(Machine::X86_64, PageSize::SMALLEST);
    let mut host = Host::from_json(file.as_bytes(), randomness).unwrap_or_else(|_| typical());
    for name in ["/old", "", "[heap]", "[stack]"] {
        let start = host.page_size.floor(value(u)?);
        let size = u.int_in_range(1..=0x40_u64)? * host.page_size.get();
        let end = start.saturating_add(size);
        let is_free = |other: &Mapping| other.range.end <= start || end <= other.range.start;
        if end <= host.task_size && host.mappings.iter().all(is_free) {
            host.mappings.push(mapping(start..end, name));
        }
    }
    host.mappings.sort_by_key(|mapping| mapping.range.start);
    Ok(host)
}

fn mapping(range: std::ops::Range<u64>, name: &str) -> Mapping {
    Mapping {
        range,
        permissions: supplant_model::image::Permissions::READ_WRITE,
        shared: false,
        offset: 0,
        device: (0, 0),
        inode: 0,
        name: name.as_bytes().to_vec(),
    }
}

/// Choices of the caller, mostly none.
pub fn choices(u: &mut Unstructured<'_>, host: &Host) -> Result<Choices> {
    if u.ratio(1, 2)? {
        return Ok(Choices::default());
    }
    let mut address = |multiple: u64| -> Result<Option<u64>> {
        Ok(if u.ratio(1, 3)? {
            let any = value(u)?;
            let user = host.task_size.saturating_sub(any % (1 << 36));
            let address = if u.arbitrary()? { user } else { any };
            Some(address & !(multiple - 1))
        } else {
            None
        })
    };
    let page = host.page_size.get();
    let mut choices = Choices {
        base: address(page)?,
        interpreter_base: address(page)?,
        vdso: address(page)?,
        stack_top: address(page)?,
        stack_pointer: address(16)?,
        brk: address(page)?,
        mmap_base: address(page)?,
        ..Choices::default()
    };
    choices.seed = u.arbitrary()?;
    choices.no_randomize = u.ratio(1, 8)?;
    choices.random = u.arbitrary()?;
    for _ in 0..u.int_in_range(0..=3)? {
        choices.auxv.push((u.int_in_range(0..=60)?, u.arbitrary()?));
    }
    Ok(choices)
}

/// Strings of a few bytes.
pub fn arguments(u: &mut Unstructured<'_>) -> Result<Arguments> {
    let string = |u: &mut Unstructured<'_>| -> Result<CString> {
        let mut bytes = u.arbitrary::<[u8; 6]>()?.to_vec();
        bytes.truncate(u.int_in_range(0..=6)?);
        bytes.retain(|&byte| byte != 0);
        let times = if u.ratio(1, 16)? { 700 } else { 1 };
        Ok(CString::new(bytes.repeat(times)).unwrap_or_default())
    };
    let list = |u: &mut Unstructured<'_>| -> Result<Vec<CString>> {
        let count = u.int_in_range(0..=5)?;
        (0..count).map(|_| string(u)).collect()
    };
    Ok(Arguments {
        execfn: string(u)?,
        argv: list(u)?,
        envp: list(u)?,
    })
}

/// State that a table has to drop.
pub fn process(u: &mut Unstructured<'_>, host: &Host) -> Result<Process> {
    const DESCRIPTORS: usize = 64;
    let mut process = Process::with_room(DESCRIPTORS, u.arbitrary()?);
    let ids = host.ids;
    process.status = Status {
        threads: 1,
        ids: Some(ids),
        saved_uid: u.int_in_range(0..=2)?,
        saved_gid: u.int_in_range(0..=2)?,
        fs_uid: u.int_in_range(0..=2)?,
        fs_gid: u.int_in_range(0..=2)?,
        in_group: u.arbitrary()?,
        inheritable: mask(u)?,
        permitted: mask(u)?,
        effective: mask(u)?,
        ambient: mask(u)?,
        bounding: mask(u)?,
        ..Status::default()
    };
    process.signal_mask = u.arbitrary()?;
    process.securebits = u.arbitrary()?;
    process.no_new_privs = u.arbitrary()?;
    process.compares_real_ids = u.arbitrary()?;
    if u.ratio(1, 4)? {
        process.file_capabilities = Some(FileCapabilities {
            permitted: mask(u)?,
            inheritable: mask(u)?,
            effective: u.arbitrary()?,
        });
    }
    process.suid_dumpable = u.int_in_range(0..=2)?;
    process.keep_capabilities = u.arbitrary()?;
    process.old_brk = u.arbitrary()?;
    if u.arbitrary()? {
        let [size, signature] = u.arbitrary()?;
        let address = u.arbitrary()?;
        process.rseq = Some(Rseq {
            address,
            size,
            signature,
        });
    }
    for signal in 0..u.int_in_range(0..=process.dispositions.capacity().min(64))? {
        let action = SignalAction::default();
        process.dispositions.push((signal as i32 + 1, action));
    }
    let closing = u.int_in_range(0..=process.closing.capacity().min(96))? as i32;
    let ranges = (0..closing).map(|number| number * 4..=number * 4 + number % 2);
    process.closing.extend(ranges);
    if u.arbitrary()? {
        process.inheritance = Some(Inheritance {
            scheduling: u.arbitrary::<Option<u64>>()?.map(|word| [word; 7]),
            processors: u.arbitrary::<Option<u64>>()?.map(|word| [word; 128]),
            timer_slack: u.arbitrary()?,
            io_priority: u.arbitrary()?,
            death_signal: u.arbitrary()?,
        });
    }
    Ok(process)
}

/// A set of capabilities: none, all that there are, or any.
fn mask(u: &mut Unstructured<'_>) -> Result<u64> {
    const ALL: u64 = (1 << 41) - 1;
    Ok(match u.int_in_range(0..=3_u8)? {
        0 => 0,
        1 | 2 => ALL,
        _ => u.arbitrary()?,
    })
}

/// Ids, groups and a directory that the caller asks for.
pub fn change(u: &mut Unstructured<'_>) -> Result<IdentityChange> {
    let groups = u.arbitrary::<Option<u8>>()?;
    let groups = groups.map(|count| vec![[1, 0, 0, 0]; usize::from(count)].into_boxed_slice());
    Ok(IdentityChange {
        groups,
        group_ids: u.arbitrary()?,
        user_ids: u.arbitrary()?,
        directory: Option::<u8>::arbitrary(u)?.map(i32::from),
        process_group: Option::<u8>::arbitrary(u)?.map(i32::from),
        death_signal: u.arbitrary()?,
    })
}
