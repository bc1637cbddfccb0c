//! Records everything visible of a stopped process as a [`Snapshot`].

use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;

use crate::arch;
use crate::auxv::Auxv;
use crate::errno::errno_of;
use crate::host::personality::ADDR_NO_RANDOMIZE;
use crate::maps;
use crate::snapshot::{Region, Snapshot, Value};
use crate::stack::DecodedStack;

use super::memory::Memory;
use super::tracee::Stopped;
use super::{inject, places, regions, stack};

/// Records a stopped process. A child of ours cannot continue normally afterwards: system calls are injected into it.
///
/// # Errors
///
/// The process is gone, or may not be read.
pub fn capture(stopped: Stopped) -> Result<(Snapshot, Stopped), Errno> {
    let Outline {
        mut snapshot,
        fixed,
        stack,
    } = Outline::new(&stopped)?;
    let pid = stopped.pid();
    let memory = Memory::of(pid)?;
    status(
        &mut snapshot,
        &String::from_utf8_lossy(&read(pid, "status")?),
    );
    files(&mut snapshot, pid);
    descriptors(&mut snapshot, pid);
    // After the first instruction, the stack pointer does not lead there.
    if snapshot.random.is_none() {
        let at = snapshot.number("saved_auxv.AT_RANDOM");
        let mut bytes = [0; 16];
        let read = at.is_some_and(|at| memory.read(at, &mut bytes));
        snapshot.random = read.then(|| hex(bytes));
    }
    regions::pages(&mut snapshot, &memory, pid, stack.as_ref(), fixed);
    places::record(&mut snapshot, fixed);
    // Nothing is injected into a process that is not our child.
    let stopped = if stopped.is_child() {
        inject::ask(stopped, &mut snapshot)?
    } else {
        stopped
    };
    Ok((snapshot, stopped))
}

pub(super) fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Registers, mappings and the items of the stack, without the contents of pages.
pub(super) struct Outline {
    pub(super) snapshot: Snapshot,
    /// Whether the addresses are not randomised.
    pub(super) fixed: bool,
    pub(super) stack: Option<DecodedStack>,
}

impl Outline {
    pub(super) fn new(stopped: &Stopped) -> Result<Self, Errno> {
        let mut snapshot = Snapshot::new();
        let pid = stopped.pid();
        snapshot.ran = stopped.has_run();
        snapshot.program = stopped.program().clone();
        registers(&mut snapshot, stopped)?;
        rseq(&mut snapshot, stopped);
        let mappings = maps::parse(&read(pid, "maps")?).ok_or(Errno::EIO)?;
        let fixed = is_fixed(pid);
        stat(&mut snapshot, &String::from_utf8_lossy(&read(pid, "stat")?));
        let smaps = read(pid, "smaps")?;
        let smaps = String::from_utf8_lossy(&smaps);
        regions::record(&mut snapshot, &mappings, &smaps, fixed);
        saved_auxv(&mut snapshot, pid)?;
        let stack = on_stack(&mut snapshot, stopped, fixed)?;
        Ok(Self {
            snapshot,
            fixed,
            stack,
        })
    }
}

fn on_stack(
    snapshot: &mut Snapshot,
    stopped: &Stopped,
    fixed: bool,
) -> Result<Option<DecodedStack>, Errno> {
    let sp = arch::stack_pointer(&stopped.registers()?);
    // The stack of another loader may be anywhere.
    let holds_sp = |region: &&Region| region.start <= sp && sp < region.end;
    let regions = || snapshot.regions.iter();
    let region = regions()
        .find(holds_sp)
        .or_else(|| regions().find(|region| region.name == "[stack]"));
    let Some(top) = region.map(|region| region.end) else {
        return Ok(None);
    };
    let memory = Memory::of(stopped.pid())?;
    Ok(stack::record(snapshot, &memory, sp, top, fixed))
}

fn read(pid: i32, name: &str) -> Result<Vec<u8>, Errno> {
    let errno = |error: std::io::Error| errno_of(&error);
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

/// At the first instruction all vector registers are clear. Later they contain data from the last string copy, including
/// parts of addresses: then only the control words are recorded.
fn registers(snapshot: &mut Snapshot, stopped: &Stopped) -> Result<(), Errno> {
    for (key, value) in arch::values(&stopped.registers()?, snapshot.ran) {
        snapshot.set(key, Value::Address(value));
    }
    for (key, value) in arch::xstate_values(&stopped.xstate()?) {
        if !snapshot.ran || !key.ends_with("_bytes") {
            snapshot.set(key, Value::Number(value));
        }
    }
    Ok(())
}

fn rseq(snapshot: &mut Snapshot, stopped: &Stopped) {
    let (address, size, signature) = stopped.rseq().unwrap_or_default();
    snapshot.set("thread.rseq", Value::Address(address));
    let text = format!("size {size} signature {signature:#x}");
    snapshot.set("thread.rseq.form", Value::Text(text));
}

/// The fields of /proc/PID/stat that an exec sets; counted from the closing parenthesis of the name, because names may
/// contain parentheses.
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

/// The lines of /proc/PID/status that are not counters or measurements.
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

/// Small files with one value each, and the symbolic links.
fn files(snapshot: &mut Snapshot, pid: i32) {
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
}

/// The kernel's copy of the auxiliary vector.
fn saved_auxv(snapshot: &mut Snapshot, pid: i32) -> Result<(), Errno> {
    let saved = Auxv::from_bytes(&read(pid, "auxv")?);
    stack::set_entries(snapshot, "saved_auxv", &saved);
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
