//! `supplant plan`: shows the load of a program without doing it.

mod addresses;
mod calls;
mod files;
mod host;
mod json;
mod stack;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use nix::errno::Errno;
use supplant_inspect::check::{Headers, Link, chain, elf_files};
use supplant_inspect::preview::{ElfFile, Preview, preview, preview_on};
use supplant_loader::{Command, Error, search};
use supplant_model::host::Host;

use crate::check::findings as check_text;
use crate::errors::complain;
use crate::load;
use crate::load::options::{RunOptions, Stop, needed_unless};
use crate::status::WRONG_COMMAND_LINE;
use crate::status::{NOT_PLANNED, PLANNED, REFUSED};
use crate::terminal::{BOLD, PLAIN, Page, RED, print, printable};

const EXAMPLES: &str = "\
The program is neither mapped nor run. Options of run before PROGRAM apply to the planned load. \
Without -R or --seed, each plan draws its own random numbers.

Examples:
  supplant plan /bin/true
  supplant plan -R --json ./program | jq .mappings
  supplant plan --print-host >here.json
  supplant plan --host typical:aarch64 --interpreter ./ld-linux-aarch64.so.1 ./arm-program

Status: 0 if the program would start, 1 if it would be refused (everything that is known is shown, \
with the reason), 2 if it could not be planned; 125 for a wrong command line.";

/// Show what loading a program would do: the files, the addresses with reasons, the stack, every system call.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_arg("program", needed_unless(&["fd", "print_host"])),
    mut_arg("verbose", |verbose| verbose.hide(true)))]
pub(crate) struct PlanOptions {
    /// Plan for another machine or process: a file written by --print-host (- is standard input), or typical:MACHINE
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Write the host of the plan to standard output, as JSON, and plan nothing
    #[arg(long)]
    pub(crate) print_host: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) run: RunOptions,
    #[command(flatten)]
    stop: Stop,
}

/// Plans the program. Returns the exit status.
pub(crate) fn plan(options: &PlanOptions) -> i32 {
    let result = if options.print_host {
        print_host(options)
    } else {
        try_plan(options)
    };
    result.unwrap_or_else(|error| {
        complain("plan", &format_args!("{error:#}"));
        NOT_PLANNED
    })
}

fn print_host(options: &PlanOptions) -> anyhow::Result<i32> {
    let host = match &options.host {
        Some(file) => host::read(file)?,
        None => supplant_inspect::this_host()?,
    };
    print(&host.to_json());
    Ok(PLANNED)
}

fn try_plan(options: &PlanOptions) -> anyhow::Result<i32> {
    let wrong = |error: anyhow::Error| {
        complain("plan", &format_args!("{error:#}"));
        WRONG_COMMAND_LINE
    };
    if load::is_stdin(&options.run) && options.host.as_deref() == Some(Path::new("-")) {
        bail!("--host - and a program of -: both are standard input");
    }
    let command = load::surroundings(&options.run).and_then(|()| load::command(&options.run));
    let mut command = match command {
        Ok(command) => command,
        Err(error) => return Ok(wrong(error)),
    };
    command.stop(options.stop.stop);
    let host = options
        .host
        .as_ref()
        .map(|file| host::read(file))
        .transpose()?;
    let (name, place) = (load::name(&options.run), place(&options.run));
    let planned = preview_for(&command, host).map_err(|error| Refusal {
        files: elf_files(&place),
        error,
    });
    let chain = chain(&place);
    let page = Page::current();
    let text = match (&planned, options.json) {
        (planned, true) => json::line(&name, &chain, planned),
        (Ok(preview), false) => scripts(page, &chain) + &as_text(page, preview),
        (Err(refusal), false) => scripts(page, &chain) + &refusal.as_text(page),
    };
    print(&text);
    Ok(if planned.is_ok() { PLANNED } else { REFUSED })
}

fn preview_for(command: &Command, host: Option<Host>) -> Result<Preview, Error> {
    match host {
        None => command.prepare().map(|prepared| preview(&prepared)),
        Some(host) => preview_on(command, host),
    }
}

/// The path at which the program would be found; empty if it comes from standard input.
fn place(options: &RunOptions) -> PathBuf {
    if let Some(number) = options.fd {
        return format!("/proc/self/fd/{number}").into();
    }
    let Some(name) = options.program.first().filter(|_| !load::is_stdin(options)) else {
        return PathBuf::new();
    };
    let path = std::env::var_os("PATH");
    let places = search::candidates(name, path.as_deref());
    let found = places.iter().find(|place| Path::new(place).is_file());
    found.cloned().unwrap_or_default().into()
}

/// A program that would be refused, with what is known about it.
struct Refusal {
    files: Vec<(String, Headers)>,
    error: Error,
}

impl Refusal {
    /// The reason, as `run` reports it.
    fn reason(&self) -> String {
        match self.error.signal() {
            Some(signal) => {
                let name = nix::sys::signal::Signal::try_from(signal)
                    .map_or("a signal", |signal| signal.as_str());
                format!("{} (execve kills: {name})", self.error)
            }
            None => format!(
                "{} ({:?})",
                self.error,
                Errno::from_raw(self.error.raw_os_error())
            ),
        }
    }

    fn as_text(&self, page: Page) -> String {
        let titles = ["program", "interpreter"].into_iter();
        let files = titles
            .zip(&self.files)
            .map(|(title, (path, headers))| files::section(page, title, path, Some(headers)));
        let files: String = files.collect();
        files + &page.paragraph(RED, "refused:", &printable(&self.reason()), 2)
    }
}

/// The #! lines before the program.
fn scripts(page: Page, chain: &[Link]) -> String {
    if chain.is_empty() {
        return String::new();
    }
    heading(page, "scripts", "and the interpreters on their #! lines")
        + &check_text::chain(page, chain)
}

fn as_text(page: Page, preview: &Preview) -> String {
    let section = |title: &str, file: &ElfFile| {
        files::section(page, title, &file.path, file.headers.as_ref())
    };
    let interpreter = preview
        .interpreter
        .as_ref()
        .map(|file| section("interpreter", file));
    [
        section("program", &preview.program),
        interpreter.unwrap_or_default(),
        heading(page, "addresses", "and why"),
        addresses::section(page, preview),
        heading(page, "memory", "before the first instruction"),
        addresses::memory(page, preview),
        heading(page, "stack", "from high to low"),
        stack::section(page, preview),
        heading(
            page,
            "system calls",
            "from the point of no return to the first instruction",
        ),
        calls::section(page, preview),
        differences(page, preview),
    ]
    .concat()
}

/// The differences that `run -v` reports.
fn differences(page: Page, preview: &Preview) -> String {
    let lines = preview.differences.iter().map(|difference| {
        let text = format!("{difference} ({})", difference.rule());
        page.paragraph(PLAIN, "  ", &text, 4)
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    heading(page, "differences", "from execve that stay") + &lines
}

fn heading(page: Page, title: &str, more: &str) -> String {
    page.paragraph(BOLD, title, more, 2)
}

/// A line with the reason why the rest of a section is missing.
fn reason(page: Page, text: &str) -> String {
    page.paragraph(PLAIN, "  ", &printable(text), 2)
}
