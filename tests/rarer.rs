//! State that exec drops and that few processes have: robust mutexes, asynchronous I/O, System V shared memory, local
//! descriptor tables, shared descriptor tables, processor switches, very many descriptors. The kernel and we give the same
//! result. Tests that the machine cannot run are ignored, and the reason says what they need.
#![allow(unsafe_code, reason = "brings a child into a state")]

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libtest_mimic::Arguments;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::alike::{alike, bare, forked, program};
use support::system::{address, prctl, system_call};
use support::trials::{asserting, lacks};
use support::{Call, Ending, Outcome};

const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
/// Replaces the thread id of a futex that is still held.
const HELD: u32 = 0x2a;

// libc has these two for glibc only.
const PR_GET_SPECULATION_CTRL: i32 = 52;
const PR_SET_SPECULATION_CTRL: i32 = 53;

fn main() {
    let speculation = prctl(PR_GET_SPECULATION_CTRL, [0]).is_ok() && can_speculate();
    let trials = vec![
        asserting("held_robust_mutexes_are_left_by_a_dead_owner", None, robust),
        asserting("broken_robust_lists_are_survived", None, broken_robust),
        asserting(
            "contexts_of_asynchronous_io_are_destroyed",
            lacks("io_setup", asynchronous_io().is_ok()),
            no_asynchronous_io,
        ),
        asserting(
            "shared_memory_of_system_v_is_detached",
            lacks("System V shared memory", attach().is_ok()),
            no_shared_memory,
        ),
        asserting(
            "the_local_descriptor_table_is_emptied",
            lacks("modify_ldt", local_descriptor().is_ok()),
            no_local_descriptors,
        ),
        asserting(
            "a_table_of_descriptors_that_another_process_shares_is_its_own_afterwards",
            None,
            shared_table,
        ),
        asserting(
            "what_was_to_last_until_an_exec_ends",
            lacks("control of speculation", speculation),
            speculate_again,
        ),
        asserting(
            "cpuid_is_let_through_again",
            lacks("CPUID faulting", forbid_cpuid_in_child()),
            cpuid,
        ),
        asserting(
            "of_very_many_descriptors_every_second_one_is_closed",
            lacks("a higher limit of descriptors", many() > 1000),
            many_descriptors,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A page that this process and its children share.
fn shared_page() -> &'static [AtomicU64; 512] {
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
    );
    let arguments = [0, 4096, prot as u64, flags as u64, u64::MAX, 0];
    let page = system_call(libc::SYS_mmap, arguments).expect("there is memory");
    // SAFETY: a page of zeros that is never unmapped and is used by atomic operations only.
    unsafe { &*std::ptr::with_exposed_provenance::<[AtomicU64; 512]>(page as usize) }
}

fn futex_word(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: the lower half of the same number, which is also used atomically.
    unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
}

/// The values that a child leaves in the words of a robust list in a shared page, by the kernel and by us.
fn words_left(set_up: fn(&'static [AtomicU64; 512]) -> io::Result<()>) -> [Vec<u32>; 2] {
    let left = |run: fn(&Call) -> Outcome| {
        let page = shared_page();
        let outcome = run(&Call::new(program("arguments")).setup(move || set_up(page)));
        assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
        // Thread ids differ in each run.
        let owner = page[511].load(Ordering::SeqCst) as u32;
        let words = page[256..264].iter();
        let words = words.map(|word| futex_word(word).load(Ordering::SeqCst));
        words
            .map(|word| if word == owner { HELD } else { word })
            .collect()
    };
    [left(Call::by_kernel), left(Call::by_library)]
}

/// Registers a list whose head is at the start of the page: the first entry, the offset of the words from the entries, the
/// pending entry.
fn register(page: &[AtomicU64; 512], first: u64, pending: u64) -> io::Result<()> {
    const DISTANCE: u64 = 128 * 8;
    let head = [first, DISTANCE, pending];
    for (place, word) in page.iter().zip(head) {
        place.store(word, Ordering::SeqCst);
    }
    page[511].store(own_thread()?.into(), Ordering::SeqCst);
    system_call(libc::SYS_set_robust_list, [address(page), 24]).map(drop)
}

/// The entry whose futex is word number `index`, from 0.
fn entry(page: &[AtomicU64; 512], index: usize) -> &AtomicU64 {
    &page[128 + index]
}

fn own_thread() -> io::Result<u32> {
    system_call(libc::SYS_gettid, []).map(|thread| thread as u32)
}

/// Futexes that are held, held with a waiter, held by another thread, free, held again, and the pending one.
fn several(page: &'static [AtomicU64; 512]) -> io::Result<()> {
    let own = own_thread()?;
    let words = [own, own | WAITERS, 1, 0, own, own | WAITERS];
    for (index, word) in words.into_iter().enumerate() {
        futex_word(&page[256 + index]).store(word, Ordering::SeqCst);
        let next = if index < 4 {
            address(entry(page, index + 1))
        } else {
            address(page)
        };
        entry(page, index).store(next, Ordering::SeqCst);
    }
    register(page, address(entry(page, 0)), address(entry(page, 5)))
}

fn robust() {
    let [kernel, ours] = words_left(several);
    assert_eq!(kernel, ours);
    assert_eq!(kernel[..2], [OWNER_DIED, OWNER_DIED | WAITERS]);
}

/// An entry that points to an unmapped address.
fn leads_nowhere(page: &'static [AtomicU64; 512]) -> io::Result<()> {
    futex_word(&page[256]).store(own_thread()?, Ordering::SeqCst);
    entry(page, 0).store(0x10, Ordering::SeqCst);
    register(page, address(entry(page, 0)), 0x18)
}

/// A circular list that does not return to the head.
fn circle(page: &'static [AtomicU64; 512]) -> io::Result<()> {
    futex_word(&page[256]).store(own_thread()?, Ordering::SeqCst);
    entry(page, 0).store(address(entry(page, 0)), Ordering::SeqCst);
    register(page, address(entry(page, 0)), 0)
}

/// The head itself is not mapped.
fn no_head(_: &'static [AtomicU64; 512]) -> io::Result<()> {
    system_call(libc::SYS_set_robust_list, [0x1000, 24]).map(drop)
}

/// A futex in read-only memory, before a futex in writable memory.
fn read_only(page: &'static [AtomicU64; 512]) -> io::Result<()> {
    let own = own_thread()?;
    futex_word(&page[256]).store(own, Ordering::SeqCst);
    futex_word(&page[257]).store(own, Ordering::SeqCst);
    let fixed = shared_page();
    futex_word(&fixed[128]).store(own, Ordering::SeqCst);
    fixed[0].store(address(entry(page, 1)), Ordering::SeqCst);
    system_call(
        libc::SYS_mprotect,
        [address(fixed), 4096, libc::PROT_READ as u64],
    )?;
    entry(page, 0).store(address(fixed), Ordering::SeqCst);
    entry(page, 1).store(address(page), Ordering::SeqCst);
    register(page, address(entry(page, 0)), 0)
}

fn broken_robust() {
    for set_up in [leads_nowhere, circle, no_head, read_only] {
        let [kernel, ours] = words_left(set_up);
        assert_eq!(kernel, ours);
    }
}

/// Sets up a context, which ends with the process.
fn asynchronous_io() -> io::Result<()> {
    const EVENTS: u64 = 3000;
    let context = Cell::new(0_u64);
    system_call(libc::SYS_io_setup, [EVENTS, address(&context)]).map(drop)
}

/// Prints the system-wide count of events in all contexts.
fn no_asynchronous_io() {
    let call = Call::new("/bin/cat")
        .args(["/proc/sys/fs/aio-nr"])
        .setup(asynchronous_io);
    assert_eq!(alike(&call, &[""]).ending, Ending::Exited(0));
}

/// Attaches a segment that is removed when its last user detaches.
fn attach() -> io::Result<()> {
    const PRIVATE: u64 = 0;
    let segment = system_call(libc::SYS_shmget, [PRIVATE, 4096, 0o600])? as u64;
    let attached = system_call(libc::SYS_shmat, [segment, 0, 0]);
    system_call(libc::SYS_shmctl, [segment, libc::IPC_RMID as u64, 0])?;
    attached.map(drop)
}

fn no_shared_memory() {
    // None of the program's own segments remains, so none is listed with its process id.
    let call = Call::new("/bin/sh")
        .args(["-c", "while read -r key id perms size cpid rest; do [ \"$cpid\" != $$ ] || echo attached; done </proc/sysvipc/shm"])
        .setup(attach);
    let told = alike(&call, &[""]);
    assert_eq!((told.ending, told.lines().count()), (Ending::Exited(0), 0));
}

/// Writes a 32-bit data segment to the table.
fn local_descriptor() -> io::Result<()> {
    const WRITE: u64 = 0x11;
    // Number, base, limit, flags: 32 bits, limit in pages, usable.
    let description = [3_u32, 0, 0xfffff, 0x51];
    system_call(libc::SYS_modify_ldt, [WRITE, address(&description), 16]).map(drop)
}

fn no_local_descriptors() {
    let call = Call::new(bare("descriptor_table")).setup(local_descriptor);
    assert_eq!(alike(&call, &[""]).ending, Ending::Exited(42));
}

/// Starts a process that shares the caller's descriptors and sleeps until it is killed.
fn start_sharer() -> io::Result<i32> {
    let flags = (libc::CLONE_FILES | libc::SIGCHLD) as u64;
    let child = system_call(libc::SYS_clone, [flags, 0, 0, 0, 0])? as i32;
    if child == 0 {
        loop {
            let _ = system_call(libc::SYS_pause, []);
        }
    }
    Ok(child)
}

/// Whether, after an exec, the sharing process still has the close-on-exec descriptor.
fn sharer_keeps(exec: fn(&Path) -> i32) -> bool {
    let page = shared_page();
    let ending = forked(|| {
        let file = fs::File::open("/etc/passwd").map(IntoRawFd::into_raw_fd);
        let numbered = |file| system_call(libc::SYS_dup3, [file, 777, libc::O_CLOEXEC as u64]);
        if file.and_then(|file| numbered(file as u64)).is_err() {
            return 1;
        }
        page[0].store(start_sharer().unwrap_or(0) as u64, Ordering::SeqCst);
        exec(&program("arguments"))
    });
    assert_eq!(ending, Ending::Exited(42));
    let sharer = page[0].load(Ordering::SeqCst) as i32;
    let kept = fs::read_link(format!("/proc/{sharer}/fd/777")).is_ok();
    kill(Pid::from_raw(sharer), Signal::SIGKILL).expect("it still sleeps");
    kept
}

fn by_kernel(path: &Path) -> i32 {
    let path = support::c_string(path.as_os_str());
    let _ = system_call(libc::SYS_execve, [address(path.as_bytes()), 0, 0]);
    2
}

fn by_library(path: &Path) -> i32 {
    supplant_loader::Command::new(path).exec().raw_os_error()
}

fn shared_table() {
    assert_eq!([by_kernel, by_library].map(sharer_keeps), [true, true]);
}

const PR_SPEC_DISABLE_NOEXEC: u64 = 1 << 4;

fn disable_speculation() -> io::Result<()> {
    prctl(PR_SET_SPECULATION_CTRL, [0, PR_SPEC_DISABLE_NOEXEC])
}

fn in_child(setup: fn() -> io::Result<()>) -> bool {
    let outcome = Call::new("/bin/true").setup(setup).by_kernel();
    outcome.ending == Ending::Exited(0)
}

fn can_speculate() -> bool {
    in_child(disable_speculation)
}

fn speculate_again() {
    let call = Call::new("/bin/cat")
        .args(["/proc/self/status"])
        .setup(disable_speculation);
    let told = alike(&call, &["Speculation"]);
    assert_eq!(told.ending, Ending::Exited(0));
}

const ARCH_SET_CPUID: u64 = 0x1012;

fn forbid_cpuid() -> io::Result<()> {
    system_call(libc::SYS_arch_prctl, [ARCH_SET_CPUID, 0]).map(drop)
}

fn forbid_cpuid_in_child() -> bool {
    in_child(forbid_cpuid)
}

fn cpuid() {
    let call = Call::new("/bin/true").setup(forbid_cpuid);
    assert_eq!(alike(&call, &[""]).ending, Ending::Exited(0));
}

/// A hundred thousand, or as many as the process's limit allows.
fn many() -> u64 {
    const LOW: u64 = 1000;
    const REST: u64 = 100;
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let (_, maximum) = limit.unwrap_or((0, LOW + REST));
    maximum.saturating_sub(LOW + REST).min(100_000) & !1
}

fn open_many() -> io::Result<()> {
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (_, maximum) = nix::sys::resource::getrlimit(limit)?;
    nix::sys::resource::setrlimit(limit, maximum, maximum)?;
    for number in 1000..1000 + many() {
        let close = if number % 2 == 0 { libc::O_CLOEXEC } else { 0 };
        system_call(libc::SYS_dup3, [0, number, close as u64])?;
    }
    Ok(())
}

fn many_descriptors() {
    let call = Call::new("/bin/sh")
        .args(["-c", "ls /proc/self/fd | wc -l"])
        .setup(open_many);
    let (kernel, ours) = (call.by_kernel(), call.by_library());
    assert_eq!(kernel.stdout, ours.stdout, "{ours:?}");
    let count = kernel
        .lines()
        .find_map(|line| line.trim().parse::<u64>().ok());
    assert!(count.is_some_and(|count| count >= many() / 2), "{kernel:?}");
}
