//! How an external program uses the library; exits 42 through the program that replaces it.

use std::fs;
use std::io::{self, Read as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use loader::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    starts_children()?;
    goes_on_after_a_refusal()?;
    #[cfg(feature = "all")]
    has_more()?;
    let (sender, receiver) = mpsc::channel::<()>();
    // Threads that sleep, wait and work, which the exec ends.
    let waits = thread::spawn(move || receiver.recv());
    thread::spawn(|| (0_u64..).fold(0, u64::wrapping_add));
    let refused = Command::new("/nonexistent").exec();
    assert_eq!(refused.raw_os_error(), 2);
    assert!(!waits.is_finished());
    let own = std::process::id();
    let script = format!("test $$ = {own} && test $(ls /proc/$$/task | wc -l) = 1 && exit 42");
    let error = Command::new("sh").args(["-c", &script]).exec();
    drop(sender);
    Err(error.into())
}

fn starts_children() -> Result<(), Box<dyn std::error::Error>> {
    assert!(Command::new("true").status()?.success());
    let output = Command::new("sh")
        .args(["-c", "echo $WORD"])
        .env("WORD", "heard")
        .output()?;
    assert_eq!(output.stdout, b"heard\n");
    let prepared = Command::new("cat").prepare()?;
    let mut child = prepared
        .command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    io::Write::write_all(&mut child.stdin.take().ok_or("no pipe")?, b"through a pipe")?;
    let mut text = String::new();
    child
        .stdout
        .take()
        .ok_or("no pipe")?
        .read_to_string(&mut text)?;
    assert_eq!(text, "through a pipe");
    assert!(child.wait()?.success());
    Ok(())
}

fn goes_on_after_a_refusal() -> io::Result<()> {
    let before = fs::read_dir("/proc/self/fd")?.count();
    for (path, errno) in [("/nonexistent", 2), ("/", 13), ("/dev/null", 13)] {
        let error = Command::new(path).exec();
        assert_eq!(error.raw_os_error(), errno, "{error}");
        assert_eq!(io::Error::from(error).raw_os_error(), Some(errno));
    }
    assert_eq!(fs::read_dir("/proc/self/fd")?.count(), before);
    Ok(())
}

/// Uses another version of the library in the same program, and previews a load.
#[cfg(feature = "all")]
fn has_more() -> Result<(), Box<dyn std::error::Error>> {
    let status = other::Command::new("sh").args(["-c", "exit 7"]).status()?;
    assert_eq!(status.code(), Some(7));
    let preview = inspect::preview::preview_on(&Command::new("true"), inspect::this_host()?)?;
    assert!(format!("{preview:?}").contains("munmap"));
    Ok(())
}
