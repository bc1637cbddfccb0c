//! The evidence of a process, from its files in /proc.

use crate::auxv::Auxv;
use crate::host::Randomize;
use crate::host::personality::ADDR_NO_RANDOMIZE;
use crate::maps::{self, Mapping};

use super::evidence::{Evidence, Notes, Origin, Snag};

/// The files of a process in /proc; those that could not be read are empty.
#[derive(Clone, Debug, Default)]
pub struct ProcessFiles {
    /// /proc/PID/maps.
    pub maps: Vec<u8>,
    /// /proc/PID/auxv.
    pub auxv: Vec<u8>,
    /// /proc/PID/stat.
    pub stat: String,
    /// /proc/PID/syscall.
    pub syscall: String,
    /// /proc/PID/limits.
    pub limits: String,
    /// /proc/PID/personality.
    pub personality: String,
    /// /proc/sys/kernel/randomize_va_space.
    pub randomize_va_space: String,
    /// /proc/sys/vm/mmap_rnd_bits.
    pub mmap_rnd_bits: String,
}

/// A saved /proc/PID/maps, alone.
///
/// # Errors
///
/// A line is not valid, or the mappings are not in order.
pub fn of_maps(subject: &str, text: &[u8]) -> Result<Evidence, Snag> {
    Evidence::new(subject, Origin::Maps, mappings(text)?)
}

/// The evidence in a process's files.
///
/// # Errors
///
/// The errors of [`of_maps`]; all files except maps may be empty.
pub fn of_process(subject: &str, origin: Origin, files: &ProcessFiles) -> Result<Evidence, Snag> {
    let mut evidence = Evidence::new(subject, origin, mappings(&files.maps)?)?;
    evidence.auxv = Auxv::from_bytes(&files.auxv);
    evidence.notes = notes(&files.stat);
    (evidence.notes.sp, evidence.notes.ip) = registers(&files.syscall);
    evidence.randomize = randomize(files);
    evidence.mmap_rnd_bits = files.mmap_rnd_bits.trim().parse().ok();
    evidence.stack_limit = stack_limit(&files.limits);
    Ok(evidence)
}

fn mappings(text: &[u8]) -> Result<Vec<Mapping>, Snag> {
    const SHOWN: usize = 60;
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let mut mappings = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let mapping = maps::parse(line).ok_or_else(|| Snag::Line {
            number: index + 1,
            text: String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned(),
        });
        mappings.extend(mapping?);
    }
    Ok(mappings)
}

/// The addresses in /proc/PID/stat, counted from the closing parenthesis of the name, because names may contain parentheses.
fn notes(stat: &str) -> Notes {
    const FIRST: usize = 3;
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
    // The kernel shows zeros to processes without permission to see them.
    let field = |number: usize| {
        let field = fields.get(number - FIRST)?.parse().ok();
        field.filter(|&address| address != 0)
    };
    Notes {
        start_brk: field(47),
        start_stack: field(28),
        arg_start: field(48),
        arg_end: field(49),
        env_start: field(50),
        env_end: field(51),
        sp: None,
        ip: None,
    }
}

/// The last two fields of /proc/PID/syscall: stack and instruction pointer of a process that is not running.
fn registers(syscall: &str) -> (Option<u64>, Option<u64>) {
    let mut words = syscall.split_whitespace().rev();
    let mut word = || {
        let digits = words.next()?.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok()
    };
    let (ip, sp) = (word(), word());
    (sp, ip)
}

fn randomize(files: &ProcessFiles) -> Option<Randomize> {
    let personality = u32::from_str_radix(files.personality.trim(), 16).unwrap_or(0);
    if personality & ADDR_NO_RANDOMIZE != 0 {
        return Some(Randomize::Nothing);
    }
    match files.randomize_va_space.trim() {
        "0" => Some(Randomize::Nothing),
        "1" => Some(Randomize::AllButBrk),
        "2" => Some(Randomize::All),
        _ => None,
    }
}

/// The soft limit in /proc/PID/limits.
pub(super) fn stack_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max stack size"))?;
    match line.split_whitespace().nth(3)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
