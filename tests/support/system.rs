//! System calls that set up the state of a forked child, by their numbers: the C library hides some of that state.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::check;
use super::trials::ignore;

/// Makes a system call. The test must ensure that pointers among the arguments are valid; the call runs in a child that is
/// about to exec.
pub fn system_call<const N: usize>(number: i64, arguments: [u64; N]) -> io::Result<i64> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let words: [u64; 6] = std::array::from_fn(argument);
    let [first, second, third, rest @ ..] = words;
    // SAFETY: the caller ensures it, as described above.
    match unsafe { libc::syscall(number, first, second, third, rest[0], rest[1], rest[2]) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

pub fn prctl<const N: usize>(option: i32, arguments: [u64; N]) -> io::Result<()> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let arguments = [
        option as u64,
        argument(0),
        argument(1),
        argument(2),
        argument(3),
    ];
    system_call(libc::SYS_prctl, arguments).map(drop)
}

/// An address as an argument of a system call.
pub fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>().addr() as u64
}

/// Blocks these signals and no others.
pub fn block(signals: &[i32]) -> io::Result<()> {
    let mask: u64 = signals.iter().map(|signal| 1 << (signal - 1)).sum();
    let arguments = [libc::SIG_SETMASK as u64, address(&mask), 0, 8];
    system_call(libc::SYS_rt_sigprocmask, arguments).map(drop)
}

/// Sets a signal's action, in the four words of the kernel's structure: handler, flags, restorer, mask.
pub fn set_action(signal: i32, action: [u64; 4]) -> io::Result<()> {
    let arguments = [signal as u64, address(&action), 0, 8];
    system_call(libc::SYS_rt_sigaction, arguments).map(drop)
}

/// The state of a process that a refused exec must leave as it was. Anonymous memory is malloc's, the signals that wait are counted
/// for all processes of the user, and what is written to the standard streams moves them.
pub fn state(pid: u32) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let keys = [
        "Name", "Threads", "SigP", "SigB", "SigI", "SigC", "Shd", "Cap", "Uid", "Gid", "Groups",
        "VmLck",
    ];
    let status = read("status");
    let status = status
        .lines()
        .filter(|line| keys.iter().any(|key| line.starts_with(key)));
    let maps = read("maps");
    let files = maps
        .lines()
        .filter(|line| line.contains(['/', '[']) && !line.contains("[heap]"));
    let mut state: Vec<String> = status.chain(files).map(str::to_owned).collect();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
    let descriptors = descriptors.into_iter().flatten().flatten();
    let own = format!("/proc/{pid}/");
    let mut descriptors: Vec<_> = descriptors
        // Other trials' looks at other processes, which a forked child has too.
        .filter(|entry| {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            !target.starts_with("/proc") || target.starts_with(&own)
        })
        .map(|entry| {
            let name = entry.file_name().display().to_string();
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let is_stream = ["0", "1", "2"].contains(&&*name);
            let info = if is_stream {
                String::new()
            } else {
                read(&format!("fdinfo/{name}"))
            };
            format!("{name} {} {info}", target.display())
        })
        .collect();
    descriptors.sort();
    state.extend(descriptors);
    state
}

/// The action of a signal in the kernel; `None` if the kernel cannot be asked.
pub fn action_of(signal: i32) -> Option<[u64; 4]> {
    let mut action = [u64::MAX; 4];
    let place = std::ptr::from_mut(&mut action).addr() as u64;
    let arguments = [signal as u64, 0, place, 8];
    system_call(libc::SYS_rt_sigaction, arguments).ok()?;
    Some(action)
}

/// From now on a seccomp action answers these system calls. Needs no privilege, but sets no_new_privs.
pub fn forbid(numbers: &[i64], action: u32) -> io::Result<()> {
    apply(&mut filter(numbers, action))
}

/// The filter for `forbid`.
pub fn filter(numbers: &[i64], action: u32) -> Vec<libc::sock_filter> {
    const LOAD_NUMBER: (u16, u8, u8, u32) = (0x20, 0, 0, 0);
    let statement = |(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k };
    let mut filter = vec![statement(LOAD_NUMBER)];
    for number in numbers {
        filter.push(statement((0x15, 0, 1, *number as u32)));
        filter.push(statement((0x06, 0, 0, action)));
    }
    filter.push(statement((0x06, 0, 0, libc::SECCOMP_RET_ALLOW)));
    filter
}

/// The filter for one system call with this first argument.
pub fn filter_argument(number: i64, first: u32, action: u32) -> Vec<libc::sock_filter> {
    let statement = |(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k };
    let statements = [
        (0x20, 0, 0, 0),
        (0x15, 0, 3, number as u32),
        // The low half of the first argument.
        (0x20, 0, 0, 16),
        (0x15, 0, 1, first),
        (0x06, 0, 0, action),
        (0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    statements.map(statement).to_vec()
}

/// Installs the filter. Allocates nothing.
pub fn apply(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    prctl(libc::PR_SET_NO_NEW_PRIVS, [1])?;
    let mode = libc::SECCOMP_MODE_FILTER.into();
    prctl(libc::PR_SET_SECCOMP, [mode, address(&program)])
}

/// A machine may forbid all tracing: this asks the kernel, not the code under test.
pub fn may_trace() -> bool {
    // SAFETY: takes no pointer.
    let traced = || check(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } as i32);
    let mut command = Command::new("/bin/true");
    // SAFETY: one system call.
    unsafe { command.pre_exec(traced) };
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    // The child is stopped.
    child.kill().expect("it is ours");
    child.wait().is_ok()
}

/// Ends the test as ignored if a child may not be traced.
pub fn needs_tracing() {
    if !may_trace() {
        ignore("permission to trace a child");
    }
}

/// What a crashing program needs for a core file in its directory; `None` if nothing is missing.
pub fn no_core_files() -> Option<&'static str> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let plain = !pattern.contains(['|', '/', '@']) && !pattern.trim().is_empty();
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE);
    match limit {
        _ if !plain => Some("a kernel.core_pattern that is a plain name"),
        Ok((_, maximum)) if maximum < 64 << 20 => Some("a higher RLIMIT_CORE"),
        _ => None,
    }
}

/// Sets the first 32 capabilities, with equal effective, permitted and inheritable sets, and drops the others.
pub fn set_capabilities(low: u32) -> io::Result<()> {
    // The header and the sets of capset(2).
    let (header, sets) = ([0x2008_0522_u32, 0], [low, low, low, 0, 0, 0]);
    system_call(libc::SYS_capset, [address(&header), address(&sets)]).map(drop)
}

/// Drops these of the first 32 capabilities, and all others.
pub fn drop_capabilities(numbers: &[u32]) -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    let permitted = permitted.map_or(Ok(0), |mask| u64::from_str_radix(mask.trim(), 16));
    let dropped: u32 = numbers.iter().map(|number| 1 << number).sum();
    set_capabilities(permitted.map_err(io::Error::other)? as u32 & !dropped)
}
