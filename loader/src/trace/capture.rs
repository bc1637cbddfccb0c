//! Everything that can be seen of a stopped process, as a [`Snapshot`].

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;

use crate::arch;
use crate::auxv::{self, Auxv};
use crate::host::personality::ADDR_NO_RANDOMIZE;
use crate::maps::{self, Mapping};
use crate::snapshot::symbols::Symbols;
use crate::snapshot::{Region, Snapshot, Value};

use super::memory::Memory;
use super::tracee::Stopped;
use super::{inject, stack};

/// Looks at a stopped process. A child of ours is used up by it: questions that only it can ask are put into it.
///
/// Errors: it is gone, or may not be read.
pub fn capture(stopped: Stopped) -> Result<(Snapshot, Stopped), Errno> {
    let mut snapshot = Snapshot::new();
    let pid = stopped.pid();
    let memory = Memory::of(pid)?;
    registers(&mut snapshot, &stopped)?;
    let mappings = maps::parse(&read(pid, "maps")?).ok_or(Errno::EIO)?;
    let fixed = is_fixed(pid);
    stat(&mut snapshot, &String::from_utf8_lossy(&read(pid, "stat")?));
    status(
        &mut snapshot,
        &String::from_utf8_lossy(&read(pid, "status")?),
    );
    files(&mut snapshot, pid)?;
    descriptors(&mut snapshot, pid);
    regions(
        &mut snapshot,
        &mappings,
        &memory,
        &String::from_utf8_lossy(&read(pid, "smaps")?),
    );
    let sp = arch::trace::stack_pointer(&stopped.registers()?);
    if let Some(region) = mappings.iter().find(|mapping| mapping.name == b"[stack]") {
        stack::record(&mut snapshot, &memory, sp, region.range.end, fixed);
    }
    // Later than at the first instruction the stack pointer does not lead there.
    if snapshot.random.is_none() {
        let at = snapshot.number("saved_auxv.AT_RANDOM");
        let mut bytes = [0; 16];
        let read = at.is_some_and(|at| memory.read(at, &mut bytes));
        snapshot.random = read.then(|| hex(bytes));
    }
    places(&mut snapshot, fixed);
    let (address, size, signature) = stopped.rseq().unwrap_or_default();
    snapshot.set(
        "thread.rseq",
        Value::Text(format!("{address:#x} size {size} signature {signature:#x}")),
    );
    // Somebody else's process is only looked at.
    let stopped = if stopped.is_child() {
        inject::ask(stopped, &mappings, &mut snapshot)?
    } else {
        stopped
    };
    Ok((snapshot, stopped))
}

pub(super) fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn read(pid: i32, name: &str) -> Result<Vec<u8>, Errno> {
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    fs::read(format!("/proc/{pid}/{name}")).map_err(errno)
}

fn is_fixed(pid: i32) -> bool {
    let personality = read(pid, "personality").ok();
    let bits = personality
        .and_then(|text| u32::from_str_radix(String::from_utf8_lossy(&text).trim(), 16).ok());
    bits.is_some_and(|bits| bits & ADDR_NO_RANDOMIZE != 0)
        || fs::read_to_string("/proc/sys/kernel/randomize_va_space")
            .is_ok_and(|text| text.trim() == "0")
}

fn registers(snapshot: &mut Snapshot, stopped: &Stopped) -> Result<(), Errno> {
    for (key, value) in arch::trace::values(&stopped.registers()?) {
        snapshot.set(key, value);
    }
    for (key, value) in arch::trace::xstate_values(&stopped.xstate()?) {
        snapshot.set(key, value);
    }
    Ok(())
}

/// The fields of /proc/PID/stat that an exec sets; counted from the name's closing parenthesis, as names may hold any.
fn stat(snapshot: &mut Snapshot, text: &str) {
    const FIRST: usize = 3;
    const FIELDS: [(usize, &str); 10] = [
        (26, "startcode"),
        (27, "endcode"),
        (28, "startstack"),
        (45, "start_data"),
        (46, "end_data"),
        (47, "start_brk"),
        (48, "arg_start"),
        (49, "arg_end"),
        (50, "env_start"),
        (51, "env_end"),
    ];
    let fields: Vec<&str> = text
        .rsplit_once(") ")
        .map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
    for (number, name) in FIELDS {
        if let Some(value) = fields
            .get(number - FIRST)
            .and_then(|field| field.parse().ok())
        {
            snapshot.set(format!("stat.{name}"), Value::Address(value));
        }
    }
    for (number, name) in [
        (19, "nice"),
        (20, "threads"),
        (38, "exit_signal"),
        (40, "rt_priority"),
        (41, "policy"),
    ] {
        if let Some(value) = fields.get(number - FIRST) {
            snapshot.set(format!("stat.{name}"), Value::Text((*value).to_owned()));
        }
    }
}

/// Lines of /proc/PID/status that do not count or measure anything.
fn status(snapshot: &mut Snapshot, text: &str) {
    const LEFT_OUT: [&str; 13] = [
        "Pid",
        "Tgid",
        "PPid",
        "NStgid",
        "NSpid",
        "NSpgid",
        "NSsid",
        "Ngid",
        "State",
        "TracerPid",
        "SigQ",
        "FDSize",
        "Kthread",
    ];
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let counts = name.starts_with("Vm") && name != "VmLck" && name != "VmPin"
            || name.starts_with("Rss")
            || name.ends_with("ctxt_switches")
            || name == "HugetlbPages";
        if !counts && !LEFT_OUT.contains(&name) {
            snapshot.set(
                format!("status.{name}"),
                Value::Text(value.trim().to_owned()),
            );
        }
    }
}

/// Small files with one value each, and the links.
fn files(snapshot: &mut Snapshot, pid: i32) -> Result<(), Errno> {
    const FILES: [&str; 10] = [
        "cmdline",
        "environ",
        "comm",
        "limits",
        "personality",
        "timers",
        "timerslack_ns",
        "coredump_filter",
        "oom_score_adj",
        "cgroup",
    ];
    for name in FILES {
        if let Ok(bytes) = read(pid, name) {
            snapshot.set(name, Value::Text(bytes.escape_ascii().to_string()));
        }
    }
    for name in ["exe", "cwd", "root"] {
        let target = fs::read_link(format!("/proc/{pid}/{name}"));
        let target = target.map_or_else(
            |error| error.to_string(),
            |path| path.as_os_str().as_bytes().escape_ascii().to_string(),
        );
        snapshot.set(name, Value::Text(target));
    }
    let saved = Auxv::from_bytes(&read(pid, "auxv")?);
    for &(tag, value) in saved.pairs() {
        snapshot.set(
            format!("saved_auxv.{}", auxv::tag_name(tag)),
            Value::Address(value),
        );
    }
    Ok(())
}

fn descriptors(snapshot: &mut Snapshot, pid: i32) {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries {
        let number = entry.file_name().to_string_lossy().into_owned();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        snapshot.set(
            format!("fd.{number}.target"),
            Value::Text(target.as_os_str().as_bytes().escape_ascii().to_string()),
        );
        let info = read(pid, &format!("fdinfo/{number}")).unwrap_or_default();
        for (name, value) in String::from_utf8_lossy(&info)
            .lines()
            .filter_map(|line| line.split_once(':'))
        {
            if name == "pos" || name == "flags" {
                snapshot.set(
                    format!("fd.{number}.{name}"),
                    Value::Text(value.trim().to_owned()),
                );
            }
        }
    }
}

/// The mappings with their pages. The stack is compared item by item, and the vDSO's data changes by itself.
fn regions(snapshot: &mut Snapshot, mappings: &[Mapping], memory: &Memory, smaps: &str) {
    let mut details = smaps.split("VmFlags:").map(|part| part.lines());
    let mut flags = details
        .by_ref()
        .skip(1)
        .map(|mut lines| lines.next().unwrap_or_default().trim().to_owned());
    let mut anonymous = smaps
        .lines()
        .filter_map(|line| line.strip_prefix("Anonymous:"))
        .map(|kib| kib.trim().trim_end_matches(" kB").parse().unwrap_or(0));
    for mapping in mappings {
        let (start, end) = (mapping.range.start, mapping.range.end);
        let flag = |yes: bool, letter: char| if yes { letter } else { '-' };
        let permissions = mapping.permissions;
        let name = String::from_utf8_lossy(&mapping.name).into_owned();
        let without_contents =
            mapping.is_vsyscall() || name == "[stack]" || name.starts_with("[vvar");
        let pages = if without_contents {
            Vec::new()
        } else {
            memory.hashes(start, end, mapping.inode == 0 && name.is_empty())
        };
        snapshot.regions.push(Region {
            start,
            end,
            permissions: [
                flag(permissions.read, 'r'),
                flag(permissions.write, 'w'),
                flag(permissions.execute, 'x'),
                if mapping.shared { 's' } else { 'p' },
            ]
            .iter()
            .collect(),
            offset: mapping.offset,
            file: (mapping.device.0, mapping.device.1, mapping.inode),
            name,
            flags: flags.next().unwrap_or_default(),
            anonymous: anonymous.next().unwrap_or(0),
            pages,
        });
    }
}

/// How the parts lie to each other; the addresses themselves where nothing is random.
fn places(snapshot: &mut Snapshot, fixed: bool) {
    let symbols = Symbols::new(snapshot);
    let by_chance = !fixed && vdso_lies_by_chance(snapshot, &symbols);
    let mut order = String::new();
    let mut end = 0;
    for (index, region) in snapshot.regions.iter().enumerate() {
        if by_chance && ["vdso", "vvar", "vvar_vclock"].contains(&symbols.label(index)) {
            continue;
        }
        order.push_str(if region.start == end { "+" } else { " " });
        order.push_str(symbols.label(index));
        end = region.end;
    }
    let labels: Vec<_> = (0..snapshot.regions.len())
        .map(|index| symbols.label(index).to_owned())
        .collect();
    snapshot.set("place.order", Value::Text(order.trim().to_owned()));
    heap_distance(snapshot, &labels, fixed);
    if fixed {
        let starts: Vec<_> = snapshot.regions.iter().map(|region| region.start).collect();
        for (label, start) in labels.iter().zip(starts).rev() {
            snapshot.set(format!("place.{label}"), Value::Text(format!("{start:#x}")));
        }
    }
}

/// A program without interpreter lies where mappings lie; one that is large or aligned is moved down from the random
/// base, and then it depends on that base whether the vDSO finds room above it.
fn vdso_lies_by_chance(snapshot: &Snapshot, symbols: &Symbols) -> bool {
    const NEAR: u64 = 1 << 40;
    let start = |label: &str| {
        let index = (0..snapshot.regions.len()).find(|&index| symbols.label(index) == label)?;
        Some(snapshot.regions[index].start)
    };
    let near = |(program, vdso): (u64, u64)| program.abs_diff(vdso) < NEAR;
    start("interp").is_none() && start("exe").zip(start("vdso")).is_some_and(near)
}

/// From the end of the program to the start of the heap: random below 1 GiB and a page, or nothing.
fn heap_distance(snapshot: &mut Snapshot, labels: &[String], fixed: bool) {
    const RANGE: u64 = (1 << 30) + 0x1000;
    let Some(heap) = snapshot.number("stat.start_brk") else {
        return;
    };
    let program = snapshot
        .regions
        .iter()
        .zip(labels)
        .filter(|(_, label)| label.starts_with("exe"));
    let end = program
        .map(|(region, _)| region.end)
        .filter(|&end| end <= heap)
        .max();
    let value = match end.map(|end| heap - end) {
        Some(distance) if !fixed && distance < RANGE => Value::Random("distance".to_owned()),
        Some(distance) => Value::Number(distance),
        None => Value::Text("elsewhere".to_owned()),
    };
    snapshot.set("heap.distance", value);
}
