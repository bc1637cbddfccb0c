//! `supplant compare --each`: many programs, each in a process of its own, so that none can take the others down.

use std::ffi::OsString;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::complain;

use super::CompareOptions;

const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The counts of a summary.
#[derive(Debug, Default)]
struct Tally {
    clean: usize,
    different: usize,
    failed: usize,
}

pub(crate) fn compare(options: &CompareOptions) -> i32 {
    let files = match files(options) {
        Ok(files) => files,
        Err(error) => {
            complain("compare", &error);
            return 2;
        }
    };
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let jobs = options
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (status, output) = one(file, options);
                    record(&tally, file, status, &output, options);
                    progress(next.load(Ordering::Relaxed).min(files.len()), files.len());
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_default();
    if !options.json {
        println!(
            "{} programs: {} equal, {} different, {} not compared",
            files.len(),
            tally.clean,
            tally.different,
            tally.failed
        );
    }
    match (tally.different, tally.failed) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 1,
    }
}

fn files(options: &CompareOptions) -> io::Result<Vec<OsString>> {
    let mut files = options.run.program.clone();
    let Some(list) = &options.files_from else {
        return Ok(files);
    };
    let mut text = Vec::new();
    if list.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut text)?;
    } else {
        text = std::fs::read(list)?;
    }
    files.extend(
        text.lines()
            .map_while(Result::ok)
            .filter(|line| !line.is_empty())
            .map(|line| OsString::from_vec(line.into())),
    );
    Ok(files)
}

/// The status and the output of one comparison; `None` where it had to be ended.
fn one(file: &OsString, options: &CompareOptions) -> (Option<i32>, String) {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("compare")
        .args(options.json.then_some("--json"))
        .args(options.control.then_some("--control"))
        .arg("--")
        .arg(file);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (Some(2), error.to_string()),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.map(|mut from| from.read_to_string(&mut text));
        let _ = stderr.map(|mut from| from.read_to_string(&mut text));
        text
    });
    let status = wait(&mut child);
    (status, reader.join().unwrap_or_default())
}

fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code(),
            Ok(None) if started.elapsed() < TIME_LIMIT => thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

fn record(
    tally: &Mutex<Tally>,
    file: &OsString,
    status: Option<i32>,
    output: &str,
    options: &CompareOptions,
) {
    let Ok(mut tally) = tally.lock() else { return };
    let word = match status {
        Some(0) => {
            tally.clean += 1;
            "equal"
        }
        Some(1) => {
            tally.different += 1;
            "different"
        }
        _ => {
            tally.failed += 1;
            "not compared"
        }
    };
    if options.json {
        print!("{output}");
    } else if status != Some(0) || options.run.verbose {
        println!("{}: {word}\n{}", file.to_string_lossy(), output.trim_end());
    }
}

fn progress(done: usize, all: usize) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let end = if done == all { "\n" } else { "" };
        let _ = write!(stderr, "\r{done} of {all}{end}");
    }
}
