//! Names for arguments of system calls, addresses and process ids, that are the same in every run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use nix::errno::Errno;

use crate::snapshot::symbols::Symbols;

use super::super::capture::Outline;
use super::super::tracee::Stopped;

/// The names of one process, shared by its threads; the process ids are shared by all.
#[derive(Clone)]
pub(super) struct Names {
    places: Rc<RefCell<Places>>,
    processes: Rc<RefCell<BTreeMap<u64, String>>>,
}

#[derive(Clone)]
struct Places {
    /// The names of the mappings that execve made.
    initial: Symbols,
    /// If false, addresses on the stack depend on a random distance.
    fixed: bool,
    /// The mappings that the program made, the latest last.
    mapped: Vec<(Range<u64>, String)>,
}

impl Names {
    /// The names of a process that is stopped before its first instruction.
    pub(super) fn of(stopped: &Stopped) -> Result<Self, Errno> {
        Ok(Self {
            places: Rc::new(RefCell::new(Places::new(stopped)?)),
            processes: Rc::default(),
        })
    }

    /// New names after an exec.
    pub(super) fn renewed(&self, stopped: &Stopped) -> Result<Self, Errno> {
        Ok(Self {
            places: Rc::new(RefCell::new(Places::new(stopped)?)),
            processes: Rc::clone(&self.processes),
        })
    }

    /// The names of a new thread, which shares the memory, or of a new process, which has a copy.
    pub(super) fn for_child(&self, shares: bool) -> Self {
        let places = if shares {
            Rc::clone(&self.places)
        } else {
            Rc::new(RefCell::new(self.places.borrow().clone()))
        };
        Self {
            places,
            processes: Rc::clone(&self.processes),
        }
    }

    /// Adds a process or thread with its label.
    pub(super) fn know(&self, pid: i32, label: &str) {
        let pid = u64::try_from(pid).unwrap_or(0);
        self.processes
            .borrow_mut()
            .insert(pid, format!("pid {label}"));
    }

    /// The name of a process id, or a text if it is not known.
    pub(super) fn process(&self, pid: u64) -> String {
        let number = pid as i32;
        match self.processes.borrow().get(&pid) {
            Some(name) => name.clone(),
            None if number <= 0 => number.to_string(),
            None => "another pid".to_owned(),
        }
    }

    /// The name of an address.
    pub(super) fn address(&self, address: u64) -> String {
        self.places.borrow().name(address)
    }

    /// Records that the program mapped memory; a part of an earlier mapping keeps its name.
    pub(super) fn map(&self, range: Range<u64>) {
        let mut places = self.places.borrow_mut();
        if places.own(range.start).is_none() {
            let name = format!("map{}", places.mapped.len() + 1);
            places.mapped.push((range, name));
        }
    }

    /// Records that the program unmapped memory.
    pub(super) fn unmap(&self, range: &Range<u64>) {
        let mut places = self.places.borrow_mut();
        for (mapped, _) in &mut places.mapped {
            if range.start <= mapped.start && mapped.end <= range.end {
                *mapped = 0..0;
            }
        }
    }
}

impl Places {
    fn new(stopped: &Stopped) -> Result<Self, Errno> {
        let outline = Outline::new(stopped)?;
        Ok(Self {
            initial: Symbols::new(&outline.snapshot),
            fixed: outline.fixed,
            mapped: Vec::new(),
        })
    }

    fn own(&self, address: u64) -> Option<&(Range<u64>, String)> {
        self.mapped
            .iter()
            .rev()
            .find(|(range, _)| range.contains(&address))
    }

    fn name(&self, address: u64) -> String {
        if let Some((range, name)) = self.own(address) {
            return format!("{name}+{:#x}", address - range.start);
        }
        let Some(name) = self.initial.name_near(address) else {
            return format!("{address:#x}");
        };
        if name.starts_with("stack") && !self.fixed {
            return "stack".to_owned();
        }
        name
    }
}
