//! The host for which a program is planned.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, ensure};
use supplant_inspect::fresh_randomness;
use supplant_model::host::Host;
use supplant_model::machine::Machine;

use crate::errors::named;

/// The largest size of a host description, in bytes.
const LIMIT: u64 = 1 << 20;

/// Reads a host from a file or standard input, or makes a typical machine.
pub(super) fn read(file: &Path) -> anyhow::Result<Host> {
    if let Some(name) = file.to_str().and_then(|name| name.strip_prefix("typical:")) {
        return typical(name);
    }
    let mut json = Vec::new();
    if file == Path::new("-") {
        io::stdin()
            .lock()
            .take(LIMIT)
            .read_to_end(&mut json)
            .context("standard input")?;
    } else {
        // Opening a FIFO may block forever, and a device has no end.
        let regular = named(file, std::fs::metadata(file))?.is_file();
        ensure!(regular, "{}: not a regular file", file.display());
        let opened = named(file, File::open(file))?;
        named(file, opened.take(LIMIT).read_to_end(&mut json))?;
    }
    Host::from_json(&json, fresh_randomness()?).with_context(|| file.display().to_string())
}

fn typical(name: &str) -> anyhow::Result<Host> {
    let (name, size) = name.split_once(':').unwrap_or((name, "4096"));
    let machine = Machine::from_name(name)
        .with_context(|| format!("typical:{name}: known are x86-64 and aarch64"))?;
    let size: u64 = size
        .parse()
        .context("typical:MACHINE:PAGESIZE: the page size is a number")?;
    let json = format!(
        r#"{{"schema": 1, "machine": "{}", "page_size": {size}}}"#,
        machine.name()
    );
    // Read like a file, so that its random words are drawn.
    Ok(Host::from_json(json.as_bytes(), fresh_randomness()?)?)
}
