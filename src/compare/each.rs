//! `supplant compare --each`: many programs, each in a separate process, so that a crash does not end the others.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::errors::complain;
use crate::errors::named;

use super::progress::Progress;
use crate::comparison::Comparison;
use crate::status::{DIFFERENT, EQUAL, NOT_COMPARED};

use super::options::CompareOptions;

/// Extra time after the comparison's own limits: a process that takes longer hangs for another reason.
const SPARE_TIME: Duration = Duration::from_secs(60);

/// The result of one comparison.
pub(super) struct Result {
    /// `None`: the process had to be killed.
    pub(super) status: Option<i32>,
    pub(super) comparison: Option<Comparison>,
    /// The line that the process printed.
    pub(super) json: String,
    /// The text on standard error.
    pub(super) complaint: String,
}

/// Compares each program. Returns the exit status. `words` are the whole command line.
pub(super) fn compare(options: &CompareOptions, words: Vec<OsString>) -> i32 {
    if options.to_end.stdin.as_deref() == Some(Path::new("-")) {
        complain("compare", &"--stdin - is for one program: give a file");
        return NOT_COMPARED;
    }
    let files = match files(options) {
        Ok(files) => files,
        Err(error) => {
            complain("compare", &format_args!("{error:#}"));
            return NOT_COMPARED;
        }
    };
    let progress = Mutex::new(Progress::new(
        files.len(),
        options.json,
        options.run.verbose,
    ));
    let words = words_for_one(words, options.run.program.len(), options.json);
    all(&files, &words, options, &progress);
    match progress
        .into_inner()
        .map(Progress::finish)
        .unwrap_or_default()
    {
        (0, 0) => EQUAL,
        (0, _) => NOT_COMPARED,
        _ => DIFFERENT,
    }
}

/// Compares them all, some at the same time.
fn all(
    files: &[OsString],
    words: &[OsString],
    options: &CompareOptions,
    progress: &Mutex<Progress>,
) {
    let (next, limit) = (AtomicUsize::new(0), time_limit(options));
    let jobs = options
        .many
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = one(words, file, limit);
                    if let Ok(mut progress) = progress.lock() {
                        progress.post(&file.to_string_lossy(), result);
                    }
                }
            });
        }
    });
}

fn time_limit(options: &CompareOptions) -> Duration {
    let runs = u32::from(options.repeat.unwrap_or(3)) + 1;
    SPARE_TIME + options.time_limit.saturating_mul(runs)
}

fn files(options: &CompareOptions) -> anyhow::Result<Vec<OsString>> {
    let mut files = options.run.program.clone();
    let Some(list) = &options.many.files_from else {
        return Ok(files);
    };
    let mut text = Vec::new();
    if list.as_os_str() == "-" {
        let read = io::stdin().lock().read_to_end(&mut text);
        named("standard input", read)?;
    } else {
        text = named(list, std::fs::read(list))?;
    }
    files.extend(
        text.lines()
            .map_while(std::result::Result::ok)
            .filter(|line| !line.is_empty())
            .map(|line| OsString::from_vec(line.into())),
    );
    Ok(files)
}

/// The words of this command line without the programs at its end: they apply to each program. `--one` overrides
/// `--each` and `--files-from`.
fn words_for_one(mut words: Vec<OsString>, programs: usize, json: bool) -> Vec<OsString> {
    words.truncate(words.len().saturating_sub(programs));
    if words.last().is_some_and(|word| word == "--") {
        words.pop();
    }
    let own_options = [Some("--one"), (!json).then_some("--json"), Some("--")];
    let own_options = own_options.into_iter().flatten().map(OsString::from);
    words.into_iter().skip(1).chain(own_options).collect()
}

fn one(words: &[OsString], file: &OsString, limit: Duration) -> Result {
    let child = Command::new("/proc/self/exe")
        .args(words)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Result::failed(error.to_string()),
    };
    let readers = [
        child.stdout.take().map(|from| thread::spawn(|| text(from))),
        child.stderr.take().map(|from| thread::spawn(|| text(from))),
    ];
    let status = wait(&mut child, limit);
    let [json, complaint] = readers.map(|reader| {
        let text = reader.and_then(|reader| reader.join().ok());
        text.unwrap_or_default()
    });
    Result {
        status,
        comparison: serde_json::from_str(&json).ok(),
        json,
        complaint,
    }
}

fn text(mut from: impl io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    const PAUSE: Duration = Duration::from_millis(2);
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code(),
            Ok(None) if started.elapsed() < limit => thread::sleep(PAUSE),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

impl Result {
    fn failed(complaint: String) -> Self {
        Self {
            status: Some(NOT_COMPARED),
            comparison: None,
            json: String::new(),
            complaint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_hold_for_each_program_and_the_programs_are_left_out() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let one = words_for_one(words("supplant compare --json -R --each -- a b"), 2, true);
        assert_eq!(one, words("compare --json -R --each --one --"));
        let one = words_for_one(words("supplant compare --files-from -"), 0, false);
        assert_eq!(one, words("compare --files-from - --one --json --"));
    }
}
