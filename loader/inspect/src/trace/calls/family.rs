//! A traced process with all its descendants.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::snapshot::calls::{Call, Trail};

use super::super::released::Ending;
use super::super::tracee::{Event, Running, Stop, Stopped};
use super::call::Begun;
use super::names::Names;

/// How long the remaining processes are followed after the end of the program.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// The most calls that are recorded in total.
const MOST_CALLS: usize = 200_000;

/// A traced process and its descendants. Dropping it kills all of them.
pub(super) struct Family {
    first: i32,
    members: BTreeMap<i32, Member>,
    /// Processes that stopped before the event that names their parent.
    unknown: Vec<Stopped>,
    trails: Vec<Trail>,
    recorded: usize,
}

/// One process or thread, which is running.
struct Member {
    running: Running,
    state: State,
}

/// The state of a member.
struct State {
    /// The index of its trail.
    trail: usize,
    names: Names,
    /// The current call, without its result.
    inside: Option<Begun>,
    children: usize,
}

impl Family {
    /// Starts with a process that is stopped before its first instruction.
    pub(super) fn new(stopped: Stopped) -> Result<Self, Errno> {
        stopped.follow_children()?;
        let names = Names::of(&stopped)?;
        let first = stopped.pid();
        let mut family = Self {
            first,
            members: BTreeMap::new(),
            unknown: Vec::new(),
            trails: Vec::new(),
            recorded: 0,
        };
        family.add(stopped, "1".to_owned(), names)?;
        Ok(family)
    }

    /// Follows all processes to the end of the first one, and a moment longer.
    pub(super) fn follow(mut self) -> Result<(Ending, Vec<Trail>), Errno> {
        let mut ending = None;
        let mut until = None;
        while !self.members.is_empty() {
            let Some(status) = next_status(until)? else {
                break;
            };
            let Some(pid) = status.pid().map(Pid::as_raw) else {
                continue;
            };
            if !self.members.contains_key(&pid) {
                self.stranger(pid, status);
                continue;
            }
            let end = self.event(pid, status)?;
            if let Some(end) = end.filter(|_| pid == self.first && ending.is_none()) {
                ending = Some(end);
                until = Some(Instant::now() + AFTERWARDS);
            }
        }
        let trails = std::mem::take(&mut self.trails);
        Ok((ending.ok_or(Errno::ECHILD)?, trails))
    }

    fn add(&mut self, stopped: Stopped, label: String, names: Names) -> Result<(), Errno> {
        names.know(stopped.pid(), &label);
        self.trails.push(Trail {
            label,
            calls: Vec::new(),
        });
        let state = State {
            trail: self.trails.len() - 1,
            names,
            inside: None,
            children: 0,
        };
        let running = stopped.to_syscall()?;
        let member = Member { running, state };
        self.members.insert(member.running.pid(), member);
        Ok(())
    }

    /// Handles an event of a member; returns its end, if it ended.
    fn event(&mut self, pid: i32, status: WaitStatus) -> Result<Option<Ending>, Errno> {
        let Some(Member { running, mut state }) = self.members.remove(&pid) else {
            return Ok(None);
        };
        let (stopped, stop) = match running.event(status) {
            Event::Stopped(stopped, stop) => (stopped, stop),
            end => {
                let last = state.inside.filter(|begun| !begun.is_chance());
                self.push(state.trail, last.map(Begun::without_result));
                return Ok(ending(&end));
            }
        };
        let signal = self.stop(&mut state, &stopped, stop)?;
        let running = stopped.resume_to_syscall(signal)?;
        self.members.insert(pid, Member { running, state });
        Ok(None)
    }

    /// Handles a stop of a member; returns the signal to deliver when it continues.
    fn stop(&mut self, state: &mut State, stopped: &Stopped, stop: Stop) -> Result<i32, Errno> {
        match stop {
            Stop::Signal(number) => return Ok(number),
            Stop::Exec => state.names = state.names.renewed(stopped)?,
            Stop::Syscall => match state.inside.take() {
                Some(begun) if begun.is_chance() => (),
                Some(begun) => self.push(state.trail, begun.with_result(stopped, &state.names)),
                None => state.inside = Begun::new(stopped, &state.names),
            },
            Stop::Event(event) => {
                if let Some(child) = self.born(event, stopped)? {
                    state.children += 1;
                    let parent = &self.trails[state.trail].label;
                    let label = format!("{parent}.{}", state.children);
                    let shares = shares_memory(&child, stopped.pid());
                    self.add(child, label, state.names.for_child(shares))?;
                }
            }
        }
        Ok(0)
    }

    fn push(&mut self, trail: usize, call: Option<Call>) {
        if let Some(call) = call.filter(|_| self.recorded < MOST_CALLS) {
            self.trails[trail].calls.push(call);
            self.recorded += 1;
        }
    }

    /// The new process or thread of an event; it stops by itself, before the event or after it.
    fn born(&mut self, event: i32, stopped: &Stopped) -> Result<Option<Stopped>, Errno> {
        const BIRTHS: [i32; 3] = [
            libc::PTRACE_EVENT_FORK,
            libc::PTRACE_EVENT_VFORK,
            libc::PTRACE_EVENT_CLONE,
        ];
        if !BIRTHS.contains(&event) {
            return Ok(None);
        }
        let pid = stopped.event_message()?;
        if let Some(index) = self.unknown.iter().position(|other| other.pid() == pid) {
            return Ok(Some(self.unknown.swap_remove(index)));
        }
        match Running::child(Pid::from_raw(pid)).wait()? {
            Event::Stopped(stopped, _) => Ok(Some(stopped)),
            Event::Exited(_) | Event::Killed(_) => Ok(None),
        }
    }

    /// Handles a process that is not known yet.
    fn stranger(&mut self, pid: i32, status: WaitStatus) {
        if let Event::Stopped(stopped, _) = Running::child(Pid::from_raw(pid)).event(status) {
            self.unknown.push(stopped);
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for (_, member) in std::mem::take(&mut self.members) {
            member.running.kill_without_waiting();
        }
        for stopped in self.unknown.drain(..) {
            stopped.kill_without_waiting();
        }
        // The first of several threads is reaped last, so threads are reaped in the order in which they end.
        let until = Instant::now() + AFTERWARDS;
        while let Ok(Some(_)) = next_status(Some(until)) {}
    }
}

fn ending(event: &Event) -> Option<Ending> {
    match event {
        Event::Exited(status) => Some(Ending::Exited(*status)),
        Event::Killed(signal) => Some(Ending::Killed(*signal)),
        Event::Stopped(..) => None,
    }
}

/// The next status of any child of this thread, until `until`; `None` if there is no child left, or the time is up.
fn next_status(until: Option<Instant>) -> Result<Option<WaitStatus>, Errno> {
    const PAUSE: Duration = Duration::from_millis(1);
    let mut flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    flags.set(WaitPidFlag::WNOHANG, until.is_some());
    loop {
        match waitpid(None, Some(flags)) {
            Ok(WaitStatus::StillAlive) => {
                if until.is_some_and(|until| Instant::now() >= until) {
                    return Ok(None);
                }
                sleep(PAUSE);
            }
            Ok(status) => return Ok(Some(status)),
            Err(Errno::EINTR) => (),
            Err(Errno::ECHILD) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether the child is a thread, which shares the memory of its process.
fn shares_memory(child: &Stopped, parent: i32) -> bool {
    let group = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("Tgid:"))?;
        Some(line.to_owned())
    };
    group(child.pid()) == group(parent)
}
