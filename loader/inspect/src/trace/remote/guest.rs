//! Runs a guest to the entry of its program, and examines it there.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::arch::{Registers, instruction, registers_of_gdb};
use crate::auxv::{AT_ENTRY, Auxv};
use crate::snapshot::Snapshot;
use crate::trace::other::Target;
use crate::trace::released::Ending;
use crate::trace::view::{self, Peek};

use super::client::{Client, refused};
use super::error::RemoteError;
use super::packet::unhex;

/// The largest size of an auxiliary vector.
const AUXV_LIMIT: usize = 0x1000;
/// The number of SIGTRAP in gdb's protocol.
const TRAP: u8 = 5;

/// The result with a guest.
#[derive(Debug)]
pub enum InGuest {
    /// It is stopped at its program's entry.
    Stopped(Box<Guest>),
    /// It ended before that.
    Ended(Ending),
}

/// A guest that is stopped at its program's entry. It is killed when this is dropped.
#[derive(Debug)]
pub struct Guest {
    client: RefCell<Client>,
    /// The first error while memory was read.
    failure: RefCell<Option<RemoteError>>,
    registers: Registers,
}

impl Guest {
    /// Runs the guest behind `stream` to the entry of the program, for at most `limit`; the limit also includes examining it.
    ///
    /// # Errors
    ///
    /// The stub does not use gdb's protocol, or does not answer in time.
    pub fn at_program(
        stream: UnixStream,
        target: &Target,
        limit: Duration,
    ) -> Result<InGuest, RemoteError> {
        let mut client = Client::new(stream, limit)?;
        let stop = client.ask("?")?;
        if let Some(ending) = ending("?", &stop)? {
            return Ok(InGuest::Ended(ending));
        }
        let auxv = Auxv::from_bytes(&client.object("auxv", AUXV_LIMIT)?);
        let entry = auxv.get(AT_ENTRY).unwrap_or(0);
        if target.bias(entry).is_none() {
            return Err(RemoteError::OtherProgram { entry });
        }
        if let Some(ending) = run_to(&mut client, entry)? {
            return Ok(InGuest::Ended(ending));
        }
        let registers = registers(&mut client)?;
        Ok(InGuest::Stopped(Box::new(Self {
            client: RefCell::new(client),
            failure: RefCell::new(None),
            registers,
        })))
    }

    /// Records the visible state of the guest.
    ///
    /// # Errors
    ///
    /// The stub stopped answering.
    pub fn snapshot(&self, target: &Target) -> Result<Snapshot, RemoteError> {
        let snapshot = view::see(self, &self.registers, target);
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(snapshot),
        }
    }
}

impl Peek for Guest {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let mut failure = self.failure.borrow_mut();
        if failure.is_some() {
            return false;
        }
        let read = self.client.borrow_mut().memory(address, buffer);
        read.unwrap_or_else(|error| {
            *failure = Some(error);
            false
        })
    }
}

fn registers(client: &mut Client) -> Result<Registers, RemoteError> {
    let answer = client.ask("g")?;
    let bytes = unhex(&answer);
    bytes
        .and_then(|bytes| registers_of_gdb(&bytes))
        .ok_or_else(|| refused("g", &answer))
}

/// Runs to an address, unless it is there already; signals on the way are delivered. Returns its end, if it ended.
fn run_to(client: &mut Client, address: u64) -> Result<Option<Ending>, RemoteError> {
    if instruction(&registers(client)?) == address {
        return Ok(None);
    }
    let software = client.order(&format!("Z0,{address:x},1"));
    let kind = match software {
        Err(RemoteError::Answer { .. }) => {
            client.order(&format!("Z1,{address:x},1"))?;
            1
        }
        other => other.map(|()| 0)?,
    };
    let mut go_on = "c".to_owned();
    loop {
        let mut stop = client.ask(&go_on)?;
        while stop.first() == Some(&b'O') {
            stop = client.answer()?;
        }
        if let Some(ending) = ending(&go_on, &stop)? {
            return Ok(Some(ending));
        }
        go_on = match number(&stop) {
            Some(TRAP) if instruction(&registers(client)?) == address => break,
            Some(signal) if signal != TRAP => format!("C{signal:02x}"),
            _ => "c".to_owned(),
        };
    }
    client.order(&format!("z{kind},{address:x},1"))?;
    Ok(None)
}

/// The end, if the reply is an end: `T05...` and `S05` are stops, `W00` and `X09` are ends.
fn ending(question: &str, stop: &[u8]) -> Result<Option<Ending>, RemoteError> {
    let number = number(stop).ok_or_else(|| refused(question, stop))?;
    match stop[0] {
        b'T' | b'S' => Ok(None),
        b'W' => Ok(Some(Ending::Exited(i32::from(number)))),
        b'X' => Ok(Some(Ending::Killed(i32::from(number)))),
        _ => Err(refused(question, stop)),
    }
}

fn number(stop: &[u8]) -> Option<u8> {
    unhex(stop.get(1..3)?)?.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_ends_are_told_apart() {
        assert!(matches!(ending("c", b"T05thread:p01.1;"), Ok(None)));
        assert!(matches!(ending("c", b"W2a"), Ok(Some(Ending::Exited(42)))));
        assert!(matches!(ending("c", b"X0b"), Ok(Some(Ending::Killed(11)))));
        assert!(ending("c", b"").is_err());
        assert!(ending("c", b"E01").is_err());
        assert_eq!(number(b"T0b"), Some(11));
        assert_eq!(number(b"T"), None);
    }
}
