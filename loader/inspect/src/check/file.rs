//! A file where it lies: the library's own checks in execve's order, the kernel's answer beside them, and the findings.

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
    /// That cannot be told.
    Unknown,
}

/// One `#!` line that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The script.
    pub script: String,
    /// The interpreter on its #! line.
    pub interpreter: String,
    /// The argument there.
    pub argument: Option<String>,
}

/// What the kernel's own check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum KernelAnswer {
    /// The file may be executed; its format was not looked at.
    Allowed,
    /// It may not.
    Refused {
        /// The errno.
        #[serde(serialize_with = "as_name")]
        errno: i32,
    },
}

/// What is known of one file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its path, as given.
    pub path: String,
    /// What execve would do.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it is, in some words; empty where it cannot be read.
    pub what: String,
    /// The scripts that lead to the program.
    pub chain: Vec<Link>,
    /// What the kernel's own check (`AT_EXECVE_CHECK`) says; `None` where it cannot be asked.
    pub kernel: Option<KernelAnswer>,
    /// What was found: first what refuses.
    pub findings: Vec<Finding>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn as_name<S: Serializer>(errno: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:?}", Errno::from_raw(*errno)))
}

/// Checks the file at this path, which is not searched in `PATH`: would execve start it, here, now, for this process,
/// and what of it deserves a look. With a page size: also what would be different with pages of that size.
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
    /// By the checks of a load that is prepared and not done.
    fn judge(&mut self, path: &Path, chain: &Chain) {
        let mut command = Command::new(with_slash(path));
        // Not execve's, but ours.
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

    /// A program for another processor: what that one's kernel would say further on.
    fn judge_elsewhere(&mut self, cause: &Cause, chain: &Chain) {
        if let (Cause::Header(HeaderFault::Machine { found, .. }), Some(last)) =
            (cause, chain.files.last())
        {
            let cause = elsewhere::cause(&last.file, last.size(), *found);
            self.findings
                .extend(cause.map(|cause| explain::cause(&cause, &last.file)));
        }
    }

    /// It looks at path, kind, permission, mount, writers and security modules.
    fn ask_kernel(&mut self, path: &Path) {
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
            return;
        };
        self.kernel = kernel_answer(&path);
        let other = match (self.kernel, self.verdict) {
            (Some(KernelAnswer::Refused { errno }), Verdict::Starts) => {
                format!("it says {:?}", Errno::from_raw(errno))
            }
            (Some(KernelAnswer::Refused { errno }), Verdict::Refused { errno: ours })
                if errno != ours =>
            {
                format!("it says {:?}", Errno::from_raw(errno))
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

/// So that the name is not searched.
fn with_slash(path: &Path) -> std::ffi::OsString {
    let name = path.as_os_str();
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return name.to_owned();
    }
    Path::new(".").join(path).into_os_string()
}

fn kernel_answer(path: &CStr) -> Option<KernelAnswer> {
    // A filter might kill for the question.
    if sys::prctl_get(libc::PR_GET_SECCOMP) != Ok(0) {
        return None;
    }
    let no_strings: [&CStr; 0] = [];
    match sys::execute_check_at(libc::AT_FDCWD, path, &[c"supplant"], &no_strings, 0) {
        Ok(()) => Some(KernelAnswer::Allowed),
        // Before Linux 6.14 the flag is not known.
        Err(Errno::EINVAL | Errno::ENOSYS) => None,
        Err(errno) => Some(KernelAnswer::Refused {
            errno: errno as i32,
        }),
    }
}

/// A file that is open to be looked at.
pub(super) struct Looked {
    pub(super) path: CString,
    pub(super) file: File,
    status: FileStat,
    pub(super) prefix: [u8; PREFIX_SIZE],
}

impl Looked {
    /// A regular file, whoever may execute it.
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

/// A file, and where its #! line leads.
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

    /// Whether this is an interpreter on a #! line.
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

/// The ELF files that starting this one would read, as far as they are there: of a script, its last interpreter; then the
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
    /// Whether execve does not start a file with such a finding, or nobody can tell.
    pub fn decides(&self) -> bool {
        matches!(self.severity, Severity::Error | Severity::Unknown)
    }
}
