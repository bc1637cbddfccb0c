//! `supplant layout`: where everything is in the memory of a process, and why, as text, JSON, SVG and HTML.

mod at;
mod beside;
pub(crate) mod compared;
mod html;
mod json;
mod lines;
mod listing;
mod picture;
mod style;
mod svg;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use supplant_inspect::layout::Layout;
use supplant_inspect::layout::pair::{Pair, pairs};

use crate::errors::complain;
use crate::errors::{named, told};
use crate::status::NOTHING_THERE;
use crate::status::{EQUAL, NOT_COMPARED};
use crate::subject::{Subject, check_arguments};

use crate::look::{self, Loader};
use picture::Form;

const EXAMPLES: &str = "\
A subject is one of
  PROGRAM          started by supplant, stopped before its first instruction
  kernel:PROGRAM   the same, started by execve
  plan:PROGRAM     planned by supplant, not started
  pid:N            a running process
  capture:FILE     the output of `supplant capture`
  core:FILE        a core file
  maps:FILE        a saved /proc/PID/maps (- is standard input)

Examples:
  supplant layout /bin/ls
  supplant layout --html ls.html --svg ls.svg /bin/ls -l
  supplant layout --at 0x401136 core:core.1234
  supplant layout --with kernel:./program ./program
  supplant layout pid:$$ >before; ...; supplant layout pid:$$ | diff before -

If FILE is -, the output goes to standard output.

Status: 0 on success, 1 if --at finds nothing mapped, 2 if the subject could not be inspected.";

/// Show where everything is in memory, and why.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LayoutOptions {
    /// Show another subject beside it, and mark the differences
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) with: Option<OsString>,
    /// Show low addresses at the top
    #[arg(long)]
    pub(crate) ascending: bool,
    /// Width of the text [default: the width of the terminal, or 80]
    #[arg(long, value_name = "N")]
    pub(crate) columns: Option<usize>,
    /// Show only what is at this address (hexadecimal)
    #[arg(long, value_name = "ADDRESS", value_parser = hexadecimal)]
    pub(crate) at: Option<u64>,
    /// Write JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write an interactive HTML page to this file: self-contained, below 1 MB
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the picture as SVG to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write the text to this file [default: standard output, if no other form is chosen]
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// The subject
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: OsString,
    /// Arguments for the program
    #[arg(value_name = "ARG", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

impl LayoutOptions {
    /// The path for the text, if it is written.
    fn text_path(&self) -> Option<&Path> {
        let is_alone = self.json.is_none() && self.svg.is_none() && self.html.is_none();
        self.text
            .as_deref()
            .or_else(|| is_alone.then_some(Path::new("-")))
    }
}

/// One or two layouts, as they are drawn.
struct Pictures {
    layouts: Vec<Layout>,
    pairs: Vec<Pair>,
}

impl Pictures {
    /// If there are very many mappings, fewer are drawn, so that the page stays below 1 MB.
    fn new(layout: &Layout, other: Option<&Layout>) -> Self {
        const MAPPINGS: usize = 240;
        let most = MAPPINGS / (1 + usize::from(other.is_some()));
        let layouts: Vec<Layout> = std::iter::once(layout)
            .chain(other)
            .map(|layout| layout.folded(most))
            .collect();
        let pairs = match layouts.as_slice() {
            [left, right] => pairs(left, right),
            _ => Vec::new(),
        };
        Self { layouts, pairs }
    }

    fn svg(&self) -> String {
        svg::file(&self.layouts.iter().collect::<Vec<_>>(), &self.pairs)
    }

    /// `differences`: what else differs, if that was compared.
    fn html(&self, differences: Option<&[html::Difference]>) -> String {
        html::page(
            &self.layouts.iter().collect::<Vec<_>>(),
            &self.pairs,
            differences,
        )
    }
}

/// Addresses as maps and this command print them, with or without 0x.
fn hexadecimal(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)
}

/// Shows a layout. Returns the exit status.
pub(crate) fn layout(options: &LayoutOptions) -> i32 {
    match show(options) {
        Ok(status) => status,
        Err(error) => {
            complain("layout", &format_args!("{error:#}"));
            NOT_COMPARED
        }
    }
}

fn show(options: &LayoutOptions) -> anyhow::Result<i32> {
    let subjects: Vec<&OsStr> = [&options.subject]
        .into_iter()
        .chain(&options.with)
        .map(OsString::as_os_str)
        .collect();
    check_arguments(&subjects, &options.arguments)?;
    let layout = look::layout(&options.subject, &options.arguments, Loader::Child)?;
    let form = Form {
        columns: columns(options.columns),
        ascending: options.ascending,
    };
    if let Some(address) = options.at {
        return look_up(&layout, address, form, options);
    }
    // In a separate process: otherwise the addresses that fork passes on would be equal, and not by chance.
    let look = |with| look::layout(with, &options.arguments, Loader::Exec);
    let other = options.with.as_ref().map(|with| look(with));
    let other = other.transpose()?;
    let pairs = other
        .as_ref()
        .map_or(Vec::new(), |other| pairs(&layout, other));
    if let Some(path) = options.text_path() {
        let text = match &other {
            Some(other) => beside::page(&layout, other, &pairs, form),
            None => listing::page(&layout, form),
        };
        write(path, &text)?;
    }
    let pictures = Pictures::new(&layout, other.as_ref());
    if let Some(path) = &options.svg {
        write(path, &pictures.svg())?;
    }
    if let Some(path) = &options.html {
        write(path, &pictures.html(None))?;
    }
    if let Some(path) = &options.json {
        write(path, &json::document(&layout, other.as_ref(), &pairs))?;
    }
    Ok(EQUAL)
}

fn look_up(
    layout: &Layout,
    address: u64,
    form: Form,
    options: &LayoutOptions,
) -> anyhow::Result<i32> {
    if options.with.is_some() {
        bail!("--at looks into one subject: not together with --with");
    }
    let pid = match Subject::parse(&options.subject)? {
        Subject::Process(pid) => Some(pid),
        _ => None,
    };
    let found = at::find(layout, address, pid);
    if let Some(path) = options.text_path() {
        write(path, &at::text(layout, &found, form.columns))?;
    }
    if let Some(path) = &options.json {
        write(path, &json::lookup(layout, &found))?;
    }
    Ok(if found.location.region.is_some() {
        EQUAL
    } else {
        NOTHING_THERE
    })
}

/// How wide the text may be: the requested width, `COLUMNS`, the width of the terminal, or 80.
fn columns(asked: Option<usize>) -> usize {
    const USUAL: usize = 80;
    const LEAST: usize = 40;
    asked
        .or_else(crate::terminal::columns)
        .unwrap_or(USUAL)
        .max(LEAST)
}

/// Writes one form to its path, with colours only to a terminal.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let mut stdout = anstream::stdout().lock();
        return match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            // The reader has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(told(&error)).context("standard output"),
            Ok(()) => Ok(()),
        };
    }
    let plain = anstream::adapter::strip_str(text).to_string();
    named(path, fs::write(path, plain))
}
