//! Sends questions to a stub and receives its answers, within a time limit.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::error::RemoteError;
use super::packet::{self, LARGEST, unhex};
use crate::errno::errno_of;

/// The packet size for a stub that does not report its limit.
const USUAL_PACKET_SIZE: usize = 400;
/// The number of bytes of an answer that are quoted.
const QUOTED: usize = 40;

/// A connection. The guest is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    deadline: Instant,
    arrived: Vec<u8>,
    /// The number of bytes of memory in one answer.
    piece: usize,
}

impl Client {
    pub(super) fn new(stream: UnixStream, limit: Duration) -> Result<Self, RemoteError> {
        let now = Instant::now();
        let mut client = Self {
            stream,
            deadline: now.checked_add(limit).unwrap_or(now),
            arrived: Vec::new(),
            piece: 0,
        };
        let features = client.ask("qSupported:swbreak+;hwbreak+")?;
        let features = String::from_utf8_lossy(&features);
        let mut sizes = features
            .split(';')
            .filter_map(|word| word.strip_prefix("PacketSize="))
            .filter_map(|digits| usize::from_str_radix(digits, 16).ok());
        // A byte has two digits.
        client.piece = sizes.next().unwrap_or(USUAL_PACKET_SIZE).min(LARGEST) / 2;
        if client.piece == 0 {
            return Err(refused("qSupported", features.as_bytes()));
        }
        Ok(client)
    }

    /// Sends a command and waits for the answer.
    pub(super) fn ask(&mut self, question: &str) -> Result<Vec<u8>, RemoteError> {
        self.send(question)?;
        self.answer()
    }

    /// Fails unless the answer is `OK`.
    pub(super) fn order(&mut self, order: &str) -> Result<(), RemoteError> {
        match &self.ask(order)?[..] {
            b"OK" => Ok(()),
            answer => Err(refused(order, answer)),
        }
    }

    fn send(&mut self, command: &str) -> Result<(), RemoteError> {
        let left = self.left()?;
        self.stream.set_write_timeout(Some(left)).map_err(failed)?;
        self.stream
            .write_all(&packet::encode(command))
            .map_err(failed)
    }

    /// The next packet.
    pub(super) fn answer(&mut self) -> Result<Vec<u8>, RemoteError> {
        let mut read = 0;
        loop {
            match packet::take(&mut self.arrived) {
                Some(Ok(data)) => {
                    self.stream.write_all(b"+").map_err(failed)?;
                    return Ok(data);
                }
                Some(Err(_)) => return Err(RemoteError::Garbage),
                None if read > LARGEST => return Err(RemoteError::Garbage),
                None => read += self.read()?,
            }
        }
    }

    fn read(&mut self) -> Result<usize, RemoteError> {
        let left = self.left()?;
        self.stream.set_read_timeout(Some(left)).map_err(failed)?;
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(RemoteError::Closed),
            Ok(count) => {
                self.arrived.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(failed(error)),
        }
    }

    /// The remaining time.
    fn left(&self) -> Result<Duration, RemoteError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(RemoteError::TimedOut);
        }
        Ok(left)
    }

    /// A complete object, which the stub sends piece by piece.
    pub(super) fn object(&mut self, name: &str, limit: usize) -> Result<Vec<u8>, RemoteError> {
        let mut object = Vec::new();
        while object.len() < limit {
            let question = format!("qXfer:{name}:read::{:x},{:x}", object.len(), self.piece);
            let answer = self.ask(&question)?;
            match answer.split_first() {
                Some((b'l', last)) => {
                    object.extend_from_slice(last);
                    break;
                }
                Some((b'm', more)) if !more.is_empty() => object.extend_from_slice(more),
                _ => return Err(refused(&question, &answer)),
            }
        }
        Ok(object)
    }

    /// Reads memory; false if there is none.
    pub(super) fn memory(&mut self, address: u64, buffer: &mut [u8]) -> Result<bool, RemoteError> {
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = address.checked_add(done as u64) else {
                return Ok(false);
            };
            let size = self.piece.min(buffer.len() - done);
            let question = format!("m{at:x},{size:x}");
            let answer = self.ask(&question)?;
            if answer.first() == Some(&b'E') && answer.len() % 2 == 1 {
                return Ok(false);
            }
            match unhex(&answer) {
                Some(bytes) if !bytes.is_empty() && bytes.len() <= size => {
                    buffer[done..done + bytes.len()].copy_from_slice(&bytes);
                    done += bytes.len();
                }
                _ => return Err(refused(&question, &answer)),
            }
        }
        Ok(true)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The answer is not needed; if the stub is gone, the guest is gone too.
        let _ = self.stream.set_nonblocking(true);
        let _ = self.stream.write_all(&packet::encode("k"));
    }
}

/// The error for an answer that does not match the question.
pub(super) fn refused(question: &str, answer: &[u8]) -> RemoteError {
    let start = &answer[..answer.len().min(QUOTED)];
    RemoteError::Answer {
        question: question.to_owned(),
        answer: String::from_utf8_lossy(start).into_owned(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failed(error: std::io::Error) -> RemoteError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => RemoteError::TimedOut,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => RemoteError::Closed,
        _ => RemoteError::Connection(errno_of(&error)),
    }
}
