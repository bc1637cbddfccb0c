//! Logging, which is off unless it is requested.

use std::env;
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use env_logger::{Builder, Target};

use crate::errors::named;

/// Not `RUST_LOG`, which the new program inherits and may obey.
const VARIABLE: &str = "SUPPLANT_LOG";

/// Logs to standard error as `SUPPLANT_LOG` selects, or to `file`: everything, if `SUPPLANT_LOG` is not set.
pub(crate) fn start(file: Option<&Path>) -> anyhow::Result<()> {
    let filter = env::var(VARIABLE).ok();
    if filter.is_none() && file.is_none() {
        return Ok(());
    }
    let mut builder = Builder::new();
    builder
        .parse_filters(filter.as_deref().unwrap_or("trace"))
        .format_timestamp(None)
        .format_target(false);
    if let Some(path) = file {
        let file = named(path, File::create(path))?;
        builder.target(Target::Pipe(Box::new(file)));
    }
    builder.try_init().context("logging")
}
