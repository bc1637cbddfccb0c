//! Checks a file at its path: the library's own checks in execve's order, the kernel's answer, and the findings.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};
use serde::{Serialize, Serializer};

use crate::Command;
use crate::error::{Cause, Error, HeaderFault, Subject};
use crate::image::{PREFIX_SIZE, ReadAt as _};
use crate::open::{check_type, open_for_reading};
use crate::page::PageSize;
use crate::script::{REWRITE_LIMIT, ScriptLine};
use crate::source::Name;
use crate::sys;
use crate::this_host;

use super::finding::Finding;
use super::warnings::{BINFMT_MISC, KERNEL_DISAGREES};
use super::{Check, Headers, Setting, Severity, elsewhere, explain, findings, misc, rights};

/// What execve would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Verdict {
    /// The program's first instruction is reached.
    Starts,
    /// It returns with this errno.
    Refused {
        /// The errno.
        #[serde(serialize_with = "as_name")]
        errno: i32,
    },
    /// It kills the process by this signal.
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The outcome is not known.
    Unknown,
}

/// One `#!` line that execve follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The script.
    pub script: String,
    /// The interpreter on its #! line.
    pub interpreter: String,
    /// The argument there.
    pub argument: Option<String>,
}

/// The answer of the kernel's own check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum KernelAnswer {
    /// The file may be executed; the kernel did not check its format.
    Allowed,
    /// The file may not be executed.
    Refused {
        /// The errno.
        #[serde(serialize_with = "as_name")]
        errno: i32,
    },
}

/// The result for one file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its path, as given.
    pub path: String,
    /// What execve would do.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The kind of the file, in a few words; empty if the file cannot be read.
    pub what: String,
    /// The scripts that lead to the program.
    pub chain: Vec<Link>,
    /// The answer of the kernel's own check (`AT_EXECVE_CHECK`); `None` if it is not available.
    pub kernel: Option<KernelAnswer>,
    /// The findings; a refusal is first.
    pub findings: Vec<Finding>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn as_name<S: Serializer>(errno: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:?}", Errno::from_raw(*errno)))
}

/// Checks the file at this path, which is not searched for in `PATH`: whether execve would start it here and now, for
/// this process, and whether it has other problems. With a page size, also reports differences with pages of that size.
///
/// Nothing is executed, and nothing blocks.
pub fn examine(path: &Path, page_size: Option<PageSize>) -> Report {
    let mut report = Report {
        path: path.display().to_string(),
        verdict: Verdict::Starts,
        what: String::new(),
        chain: Vec::new(),
        kernel: None,
        findings: Vec::new(),
    };
    let chain = Chain::follow(path);
    report.chain.clone_from(&chain.links);
    report.judge(path, &chain);
    report.ask_kernel(path);
    if let Some(first) = chain.files.first() {
        report.look(first, page_size);
    }
    if let Some(last) = chain.files.last() {
        report
            .findings
            .extend(rights::findings(&last.file, &last.status, &chain.links));
    }
    if let (Some(script), [_, ..]) = (chain.files.first(), &chain.links[..]) {
        report.findings.extend(rights::of_script(&script.status));
    }
    report
}

impl Report {
    /// Uses the checks of a load that is prepared but not done.
    fn judge(&mut self, path: &Path, chain: &Chain) {
        let mut command = Command::new(with_slash(path));
        // execve does not make this check; only the loader does.
        command.ignore_set_id(true);
        let result = command.prepare().and_then(|prepared| prepared.probe());
        if let Err(error) = result {
            let finding = explain::refusal(&error, path, chain);
            self.verdict = verdict(&finding, &error);
            self.findings.push(finding);
            self.judge_elsewhere(error.cause(), chain);
        }
        let Some(last) = chain.files.last() else {
            return;
        };
        let name = last.path.to_bytes();
        for entry in misc::registered()
            .iter()
            .filter(|entry| entry.matches(&last.prefix, name))
        {
            let message = format!("binfmt_misc starts {} for it", entry.interpreter);
            self.findings.push(Finding::new(&BINFMT_MISC, message));
            self.verdict = Verdict::Unknown;
        }
    }

    /// For a program for another processor: the first later check that fails on a kernel for that processor.
    fn judge_elsewhere(&mut self, cause: &Cause, chain: &Chain) {
        if let (Cause::Header(HeaderFault::Machine { found, .. }), Some(last)) =
            (cause, chain.files.last())
        {
            let cause = elsewhere::cause(&last.file, last.size(), *found);
            self.findings
                .extend(cause.map(|cause| explain::cause(&cause, &last.file)));
        }
    }

    /// The kernel checks path, file type, permission, mount, writers and security modules.
    fn ask_kernel(&mut self, path: &Path) {
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
            return;
        };
        self.kernel = kernel_answer(&path);
        let other = match (self.kernel, self.verdict) {
            (Some(KernelAnswer::Refused { errno }), Verdict::Starts) => {
                format!("it answers {:?}", Errno::from_raw(errno))
            }
            (Some(KernelAnswer::Refused { errno }), Verdict::Refused { errno: ours })
                if errno != ours =>
            {
                format!("it answers {:?}", Errno::from_raw(errno))
            }
            _ => return,
        };
        self.findings.push(Finding::new(&KERNEL_DISAGREES, other));
    }

    fn look(&mut self, first: &Looked, page_size: Option<PageSize>) {
        let own = this_host().map_or(4096, |host| host.page_size.get());
        let own = PageSize::new(own).unwrap_or(PageSize::SMALLEST);
        let setting = Setting {
            page_size: page_size.unwrap_or(own),
            elsewhere: page_size.is_some_and(|size| size != own),
        };
        self.what = explain::what(&first.file, first.size(), &first.prefix);
        self.findings
            .extend(findings(&first.file, first.size(), setting));
    }
}

fn verdict(finding: &Finding, error: &Error) -> Verdict {
    match (finding.check.severity, error.signal()) {
        (Severity::Unknown, _) => Verdict::Unknown,
        (_, Some(signal)) => Verdict::Killed { signal },
        (_, None) => Verdict::Refused {
            errno: error.raw_os_error(),
        },
    }
}

/// A name with a slash is not searched for in `PATH`.
fn with_slash(path: &Path) -> std::ffi::OsString {
    let name = path.as_os_str();
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return name.to_owned();
    }
    Path::new(".").join(path).into_os_string()
}

fn kernel_answer(path: &CStr) -> Option<KernelAnswer> {
    // A seccomp filter might kill the process for this call.
    if sys::prctl_get(libc::PR_GET_SECCOMP) != Ok(0) {
        return None;
    }
    let no_strings: [&CStr; 0] = [];
    match sys::execute_check_at(libc::AT_FDCWD, path, &[c"supplant"], &no_strings, 0) {
        Ok(()) => Some(KernelAnswer::Allowed),
        // Linux before 6.14 does not know the flag.
        Err(Errno::EINVAL | Errno::ENOSYS) => None,
        Err(errno) => Some(KernelAnswer::Refused {
            errno: errno as i32,
        }),
    }
}

/// A file that is open for checking.
pub(super) struct Looked {
    pub(super) path: CString,
    pub(super) file: File,
    status: FileStat,
    pub(super) prefix: [u8; PREFIX_SIZE],
}

impl Looked {
    /// Opens a regular file, whether or not it may be executed.
    fn open(path: &CStr) -> Option<Self> {
        let name = Name::new(libc::AT_FDCWD, path);
        let place = name.open(OFlag::O_PATH).ok()?;
        let status = fstat(place.as_fd()).ok()?;
        check_type(&status).ok()?;
        let file = open_for_reading(&place, name, &status, 0).ok()?;
        let mut prefix = [0; PREFIX_SIZE];
        file.read_at(&mut prefix, 0).ok()?;
        Some(Self {
            path: path.to_owned(),
            file,
            status,
            prefix,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.status.st_size as u64
    }
}

/// A file and the chain of interpreters that its #! line starts.
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    /// The file itself, then each interpreter, as far as they can be read.
    pub(super) files: Vec<Looked>,
}

impl Chain {
    fn follow(path: &Path) -> Self {
        let mut chain = Self {
            links: Vec::new(),
            files: Vec::new(),
        };
        let mut next = CString::new(path.as_os_str().as_bytes()).ok();
        while let Some(path) = next.take() {
            let Some(looked) = Looked::open(&path) else {
                break;
            };
            let line = ScriptLine::parse(&looked.prefix).ok().flatten();
            chain.files.push(looked);
            if let Some(line) = line.filter(|_| chain.links.len() <= REWRITE_LIMIT) {
                chain.links.push(Link {
                    script: text(&path),
                    interpreter: text(&line.interpreter),
                    argument: line.argument.as_deref().map(text),
                });
                next = Some(line.interpreter);
            }
        }
        chain
    }

    /// Whether the subject is an interpreter on a #! line.
    pub(super) fn names(&self, subject: &Subject) -> bool {
        let Subject::Interpreter(path) = subject else {
            return false;
        };
        let path = path.to_string_lossy();
        self.links.iter().any(|link| link.interpreter == path)
    }
}

/// The `#!` lines that lead from this file to a program.
pub fn chain(path: &Path) -> Vec<Link> {
    Chain::follow(path).links
}

/// The existing ELF files that starting this file would read: the program (for a script, its last interpreter), then the
/// file that `PT_INTERP` names.
pub fn elf_files(path: &Path) -> Vec<(String, Headers)> {
    let mut files = Vec::new();
    let chain = Chain::follow(path);
    let Some(program) = chain.files.last() else {
        return files;
    };
    let Some(headers) = Headers::read(&program.file, program.size()) else {
        return files;
    };
    let interpreter = headers.interpreter(&program.file);
    files.push((text(&program.path), headers));
    if let Some(looked) = interpreter.and_then(|path| Looked::open(&path)) {
        let headers = Headers::read(&looked.file, looked.size());
        files.extend(headers.map(|headers| (text(&looked.path), headers)));
    }
    files
}

fn text(string: &CStr) -> String {
    OsStr::from_bytes(string.to_bytes())
        .to_string_lossy()
        .into_owned()
}

impl Check {
    /// Whether execve does not start a file with such a finding, or the outcome is not known.
    pub fn decides(&self) -> bool {
        matches!(self.severity, Severity::Error | Severity::Unknown)
    }
}
