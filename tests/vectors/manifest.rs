//! Writes the vectors as a separate product for authors of other loaders: files, what this kernel does with each, and a runner.
//! README.md beside this file describes them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use nix::errno::Errno;
use serde_json::{Value, json};

use crate::vectors::{self, Vector, pages_crc32, rendered};
use support::trials::{lacks, trial};
use support::{Call, Ending, Outcome};

const SCHEMA: u32 = 1;
const README: &str = include_str!("README.md");
const RUNNER: &str = include_str!("run.py");

/// Writes the files, the manifest and the runner to a directory.
pub(crate) fn write(directory: &Path) {
    let vectors = vectors::all();
    write_some(directory, &vectors).expect("the directory can be written");
    let count = vectors.len();
    let place = directory.display();
    println!("{count} vectors in {place}\n\n{count} passed, 0 failed");
}

fn write_some(directory: &Path, vectors: &[Vector]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut manifest = String::new();
    for (number, vector) in vectors.iter().enumerate() {
        let name = format!("{number:04}");
        let place = directory.join(&name);
        // An existing folder may contain other files.
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir(&place)?;
        vector.write(&place);
        manifest.push_str(&line(vector, &name, &place)?.to_string());
        manifest.push('\n');
    }
    fs::write(directory.join("manifest.jsonl"), manifest)?;
    fs::write(directory.join("about.json"), about().to_string() + "\n")?;
    fs::write(directory.join("README.md"), README)?;
    let runner = directory.join("run.py");
    fs::write(&runner, RUNNER)?;
    fs::set_permissions(runner, fs::Permissions::from_mode(0o755))
}

/// The runner accepts a loader that calls execve, and does not accept a loader that does nothing.
pub(crate) fn the_runner_tells() -> Trial {
    let has_python = Command::new("python3").arg("-V").output().is_ok();
    let name = "manifest::the_runner_tells_the_kernel_from_another_loader";
    trial(name, lacks("python3", has_python), || {
        const EVERY: usize = 100;
        let vectors: Vec<_> = vectors::all().into_iter().step_by(EVERY).collect();
        let directory = crate::scratch();
        write_some(directory.path(), &vectors)?;
        for (loader, expected) in [("env", 0), ("true", 1)] {
            let run = Command::new("python3")
                .arg(directory.path().join("run.py"))
                .args(["--pages", loader])
                .output()?;
            if run.status.code() != Some(expected) {
                return Err(format!("{loader}: {run:?}").into());
            }
        }
        Ok(())
    })
}

fn line(vector: &Vector, directory: &str, place: &Path) -> io::Result<Value> {
    let run = || {
        Call::new("./program")
            .directory(place)
            .no_randomize()
            .by_kernel()
    };
    let (outcome, again) = (run(), run());
    fs::write(place.join("stdout"), rendered(&outcome.stdout))?;
    Ok(json!({
        "schema": SCHEMA,
        "name": vector.name,
        "rules": vector.rules,
        "about": vector.about,
        "directory": directory,
        "ending": ending(&outcome),
        "pages_crc32": crc32(&outcome, &again),
        "needs_root": vector.needs_root,
    }))
}

/// A program that writes without end is killed when its output is no longer read.
fn ending(outcome: &Outcome) -> Value {
    match outcome.ending {
        Ending::Killed(libc::SIGPIPE) | Ending::TimedOut => json!("endless"),
        Ending::Exited(status) => json!({ "exited": status }),
        Ending::Killed(signal) => json!({ "killed": signal }),
        Ending::Refused(errno) => json!({ "refused": format!("{:?}", Errno::from_raw(errno)) }),
    }
}

/// The checksum, only if both runs give the same.
fn crc32(outcome: &Outcome, again: &Outcome) -> Option<u32> {
    let [one, other] = [outcome, again].map(|outcome| pages_crc32(&outcome.stdout));
    one.filter(|_| one == other && matches!(outcome.ending, Ending::Exited(_)))
}

/// The kernel whose behaviour the manifest describes.
fn about() -> Value {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map_or_else(|_| String::new(), |text| text.trim().to_owned())
    };
    json!({
        "schema": SCHEMA,
        "kernel": read("osrelease"),
        "machine": std::env::consts::ARCH,
        "user": nix::unistd::geteuid().as_raw(),
        "made_by": concat!("supplant ", env!("CARGO_PKG_VERSION")),
    })
}
