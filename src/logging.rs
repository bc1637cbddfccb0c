//! Logging: nothing, unless it is asked for.

use std::env;
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use env_logger::{Builder, Target};

use crate::errors::named;

/// Not `RUST_LOG`, which the new program inherits and may obey.
const VARIABLE: &str = "SUPPLANT_LOG";

/// To standard error as `SUPPLANT_LOG` says; to `file` everything, if it says nothing.
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
