//! The page of `supplant layout --html` in a browser: no script errors; hover, click, keys, search and the fragment work.
//! Without Chromium, the trials are ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use support::system::needs_tracing;
use support::trials::{lacks, trial};
use support::{builds, scratch, test_binaries};

/// Runs before the page's own script and collects its errors.
const LISTEN: &str = "<script>window.wrong = []; window.addEventListener('error', (event) => wrong.push(event.message)); \
                      window.addEventListener('securitypolicyviolation', (event) => wrong.push(event.violatedDirective));\
                      </script>";
const TRY: &str = include_str!("layout/try.js");

const HOSTILE: &str = "\
00400000-00401000 r-xp 00000000 fe:01 7 /tmp/</script><script>window.hacked = 1</script>
00402000-00403000 r-xp 00000000 fe:01 7 /tmp/\"><img src=x onerror=\"window.hacked = 2\">
00404000-00405000 rwxp 00000000 fe:01 7 /tmp/'onmouseenter='window.hacked = 3
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]
";

fn main() {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .find_map(|name| find(name));
    let own = format!("pid:{}", std::process::id());
    let tell = |flavour: &str| {
        let path = test_binaries().join(flavour).join("tell");
        format!("plan:{}", path.display())
    };
    let (pie, fixed) = (tell("glibc-pie"), tell("glibc-static"));
    let cases: [(&str, &[&str]); 6] = [
        ("a_position_independent_program", &[&pie]),
        ("a_static_program", &[&fixed]),
        ("a_process", &[&own]),
        ("two_side_by_side", &["--with", &fixed, &pie]),
        ("hostile_names", &["maps:HOSTILE"]),
        ("many_mappings", &["maps:MANY"]),
    ];
    let look = |name: &str, command: &'static str, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let missing = lacks("chromium", browser.is_some());
        let browser = browser.clone().unwrap_or_default();
        trial(name, missing, move || {
            if command == "diff" {
                needs_tracing();
            }
            explore(&browser, command, &arguments)
        })
    };
    let mut trials: Vec<Trial> = cases
        .iter()
        .map(|(name, arguments)| look(name, "layout", arguments))
        .collect();
    let programs = ["kernel:/bin/true", "kernel:/bin/false"];
    trials.push(look("a_comparison", "diff", &programs));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.exists())
}

/// As many mappings as a process may have, with holes between them.
fn many() -> String {
    let line = |index: u64| {
        let start = 0x10_0000 + index * 0x3000;
        format!(
            "{start:x}-{:x} r--p 00000000 fe:01 7 /some/where/number{index}\n",
            start + 0x1000
        )
    };
    let lines: String = (0..65_000).map(line).collect();
    lines + "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n"
}

/// Makes the page, opens it at an address, and uses it as a person would.
fn explore(browser: &Path, command: &str, arguments: &[String]) -> Result<(), Failed> {
    let directory = scratch();
    fs::write(directory.path().join("HOSTILE"), HOSTILE)?;
    fs::write(directory.path().join("MANY"), many())?;
    let made = Command::new(fs::canonicalize(builds().remove(0))?)
        .args([command, "--html", "page.html"])
        .args(arguments)
        .current_dir(directory.path())
        .output()?;
    let page = fs::read_to_string(directory.path().join("page.html"))
        .map_err(|_| String::from_utf8_lossy(&made.stderr).into_owned())?;
    if page.len() >= 1 << 20 {
        return Err(format!("the page has {} bytes", page.len()).into());
    }
    let tried = page
        .replacen("<head>", &format!("<head>{LISTEN}"), 1)
        .replacen("</body>", &format!("<script>{TRY}</script></body>"), 1);
    fs::write(directory.path().join("tried.html"), tried)?;
    let start = page
        .split("data-start=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let dom = open(browser, directory.path(), start.unwrap_or("0x0"))?;
    let said = dom
        .split("data-tried=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    match said {
        Some("all is well") => Ok(()),
        Some(wrong) => Err(wrong.to_owned().into()),
        None => Err(format!(
            "the script did not come to its end: {}",
            &dom[..dom.len().min(300)]
        )
        .into()),
    }
}

fn open(browser: &Path, directory: &Path, address: &str) -> Result<String, Failed> {
    let url = format!(
        "file://{}#{address}",
        directory.join("tried.html").display()
    );
    let profile = format!("--user-data-dir={}", directory.join("profile").display());
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            profile.as_str(),
            "--virtual-time-budget=20000",
            "--timeout=40000",
            "--dump-dom",
            &url,
        ])
        .env("HOME", directory)
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
