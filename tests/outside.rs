//! The library in an external crate: packaged, outside the workspace, with cargo's own profiles.
//!
//! Cargo's default release profile once failed to link the library, although each profile of this workspace linked it. Profiles
//! are set on cargo's command line, so that crates that they do not affect (procedural macros) are built once.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs, io};

use libtest_mimic::{Arguments, Failed};
use support::trials::{lacks, trial};

/// One way to build the crate.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    edition: &'static str,
    target: Option<&'static str>,
    arguments: &'static [&'static str],
    /// A line for the release profile, in TOML. A line for the library alone does not change how the other crates are built.
    profile: Option<&'static str>,
}

/// All ways write the program to the same place, so they run one after the other.
static TURN: Mutex<()> = Mutex::new(());

const MUSL: &str = "x86_64-unknown-linux-musl";
const DEV: Way = Way {
    name: "dev",
    edition: "2024",
    target: None,
    arguments: &[],
    profile: None,
};
const RELEASE: Way = Way {
    name: "release",
    arguments: &["--release"],
    ..DEV
};

const fn release(name: &'static str, profile: &'static str) -> Way {
    Way {
        name,
        profile: Some(profile),
        ..RELEASE
    }
}

const WAYS: [Way; 18] = [
    DEV,
    RELEASE,
    Way {
        name: "release_edition_2021",
        edition: "2021",
        ..RELEASE
    },
    Way {
        name: "dev_all_features_two_versions",
        arguments: &["--features", "all"],
        ..DEV
    },
    Way {
        name: "release_all_features_two_versions",
        arguments: &["--release", "--features", "all"],
        ..RELEASE
    },
    release("opt_level_1", "package.supplant-loader.opt-level = 1"),
    release("opt_level_2", "package.supplant-loader.opt-level = 2"),
    release("opt_level_s", "package.supplant-loader.opt-level = 's'"),
    release("opt_level_z", "package.supplant-loader.opt-level = 'z'"),
    release("debug", "package.supplant-loader.debug = true"),
    release("one_unit", "package.supplant-loader.codegen-units = 1"),
    release("incremental", "incremental = true"),
    release("lto_off", "lto = 'off'"),
    release("lto_thin", "lto = 'thin'"),
    release("lto_fat", "lto = 'fat'"),
    release("panic_abort", "panic = 'abort'"),
    Way {
        name: "dev_musl",
        target: Some(MUSL),
        ..DEV
    },
    Way {
        name: "release_musl",
        target: Some(MUSL),
        ..RELEASE
    },
];

fn main() {
    let arguments = Arguments::from_args();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    if !arguments.list {
        lay_out(&place).expect("the library is packaged and the target folder is writable");
    }
    let missing = lacks("the standard library for that target", has_target(MUSL));
    let trials = WAYS.into_iter().map(|way| {
        let place = place.clone();
        let missing = missing.filter(|_| way.target.is_some());
        trial(
            format!("it_builds_and_runs::{}", way.name),
            missing,
            move || builds_and_runs(&place, way),
        )
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    // An external crate does not get the flags that cargo sets for this test.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

fn has_target(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output();
    let folder = printed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    folder.is_ok_and(|folder| Path::new(&folder).is_dir())
}

/// Lays out the crate in each edition, the library as it is published, a copy of it with an older version, and the versions of
/// the workspace's dependencies, so that nothing is downloaded.
fn lay_out(place: &Path) -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packaging = place.join("packaging");
    succeeded(
        cargo()
            .args([
                "package",
                "--package",
                "supplant-inspect",
                "--package",
                "supplant-loader",
                "--package",
                "supplant-model",
                "--no-verify",
                "--allow-dirty",
                "--offline",
                "--quiet",
            ])
            .args([OsStr::new("--target-dir"), packaging.as_os_str()])
            .current_dir(root),
    )?;
    for (package, folder) in [
        ("supplant-loader", "loader"),
        ("supplant-loader", "other"),
        ("supplant-inspect", "inspect"),
        ("supplant-model", "model"),
    ] {
        let name = format!("{package}-{}", env!("CARGO_PKG_VERSION"));
        let packed = packaging.join("package").join(format!("{name}.crate"));
        extract(&packed, &name, &place.join(folder))?;
    }
    let manifest = place.join("other/Cargo.toml");
    let version = format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    let (manifest_text, older) = (fs::read_to_string(&manifest)?, "\nversion = \"0.0.1\"\n");
    // Only the first match: the next version is that of a dependency.
    if !manifest_text.contains(older) {
        fs::write(&manifest, manifest_text.replacen(&version, older, 1))?;
    }
    for edition in ["2021", "2024"] {
        let folder = place.join(edition);
        fs::create_dir_all(folder.join("src"))?;
        let source = root.join("tests/outside");
        let manifest = fs::read_to_string(source.join("Cargo.toml"))?;
        write_if_changed(
            &folder.join("Cargo.toml"),
            &manifest.replace("\"2024\"", &format!("\"{edition}\"")),
        )?;
        write_if_changed(
            &folder.join("src/main.rs"),
            &fs::read_to_string(source.join("src/main.rs"))?,
        )?;
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    }
    Ok(())
}

/// Extracts a package, unless the same package is already extracted: cargo rebuilds files with a new modification time.
fn extract(packed: &Path, name: &str, folder: &Path) -> io::Result<()> {
    let packed_before = folder.join("package.crate");
    if fs::read(&packed_before).ok() == Some(fs::read(packed)?) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    // With the current time: in a package all files have the same old time.
    succeeded(
        Command::new("tar")
            .args(["-xzm", "--strip-components=1", "-f"])
            .arg(packed)
            .arg("-C")
            .arg(folder)
            .arg(name),
    )?;
    fs::copy(packed, packed_before).map(drop)
}

fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)
}

fn succeeded(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    )))
}

fn builds_and_runs(place: &Path, way: Way) -> Result<(), Failed> {
    let mut build = cargo();
    build
        .args(["build", "--offline", "--quiet"])
        .args(way.arguments)
        .env("RUSTFLAGS", "-D warnings")
        .env("CARGO_TARGET_DIR", place.join("target"))
        .current_dir(place.join(way.edition));
    if let Some(line) = way.profile {
        build.arg("--config").arg(format!("profile.release.{line}"));
    }
    if let Some(target) = way.target {
        build.args(["--target", target]);
    }
    let _alone = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    succeeded(&mut build)?;
    let folders = [
        way.target,
        Some(if way.arguments.contains(&"--release") {
            "release"
        } else {
            "debug"
        }),
    ];
    let program = place
        .join("target")
        .join(folders.into_iter().flatten().collect::<PathBuf>())
        .join("outside");
    let output = Command::new(&program).output()?;
    if output.status.code() == Some(42) {
        return Ok(());
    }
    Err(format!("{}: {output:?}", program.display()).into())
}
