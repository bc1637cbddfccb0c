//! The output of a program, read while it runs, up to a limit.

use std::io::{PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use supplant_inspect::snapshot::{Snapshot, Value};
use supplant_model::digest::digest;

/// In bytes. Further output is read and dropped.
const LIMIT: usize = 8 << 20;
/// How long another process may keep the pipe open after the program's end.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// How many lines have a separate key.
const LINES: usize = 10_000;
/// A longer line is shown in part, and compared by its hash.
const LONGEST_LINE: usize = 1000;

/// The reading end of a pipe that a program writes to.
pub(super) struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Output {
    /// A pipe's writing end, and its reader.
    pub(super) fn pipe() -> std::io::Result<(OwnedFd, PipeReader)> {
        let (reader, writer) = std::io::pipe()?;
        Ok((writer.into(), reader))
    }

    /// Starts to read until the pipe is closed. Called after the fork: forking a process with one thread is simpler.
    pub(super) fn read(mut reader: PipeReader) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (ended, end) = mpsc::channel();
        let collected = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                let Ok(mut bytes) = collected.lock() else {
                    break;
                };
                let room = LIMIT.saturating_sub(bytes.len());
                bytes.extend_from_slice(&piece[..count.min(room)]);
            }
            drop(ended);
        });
        Self { bytes, end }
    }

    /// The output so far. Waits a moment for other processes that still have the pipe open.
    pub(super) fn written(self) -> Vec<u8> {
        let _ = self.end.recv_timeout(AFTERWARDS);
        let bytes = self.bytes.lock();
        bytes.map_or_else(|_| Vec::new(), |mut bytes| std::mem::take(&mut *bytes))
    }
}

/// Records output line by line.
pub(super) fn record(snapshot: &mut Snapshot, name: &str, bytes: &[u8]) {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    for (line, number) in lines.by_ref().take(LINES).zip(1..) {
        snapshot.set(format!("{name}.{number:06}"), Value::Text(shown(line)));
    }
    let rest: usize = lines.clone().map(<[u8]>::len).sum();
    if rest > 0 {
        let bytes = &bytes[bytes.len() - rest..];
        let text = format!("{rest} bytes, hash {:016x}", digest(bytes));
        snapshot.set(format!("{name}.rest"), Value::Text(text));
    }
}

fn shown(line: &[u8]) -> String {
    if line.len() <= LONGEST_LINE {
        return line.escape_ascii().to_string();
    }
    let start = line[..LONGEST_LINE / 4].escape_ascii();
    format!(
        "{start}... ({} bytes, hash {:016x})",
        line.len(),
        digest(line)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_key_and_too_many_have_one_together() {
        let mut snapshot = Snapshot::new();
        record(&mut snapshot, "stdout", b"one\ntwo");
        let text = |key: &str| match snapshot.values.get(key) {
            Some(Value::Text(text)) => text.clone(),
            other => panic!("{key}: {other:?}"),
        };
        assert_eq!(
            (text("stdout.000001"), text("stdout.000002")),
            ("one\\n".to_owned(), "two".to_owned())
        );
        let mut snapshot = Snapshot::new();
        record(&mut snapshot, "stderr", &b"x\n".repeat(LINES + 3));
        assert_eq!(snapshot.values.len(), LINES + 1);
        assert!(snapshot.values.contains_key("stderr.rest"));
    }
}
