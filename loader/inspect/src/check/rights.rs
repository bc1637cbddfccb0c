//! Mode bits and capabilities that change the credentials of a program.

use std::fs::File;
use std::os::fd::AsFd as _;

use nix::sys::stat::FileStat;

use crate::set_id;

use super::file::Link;
use super::finding::Finding;
use super::warnings::{FILE_CAPABILITIES, SCRIPT_SET_ID, SET_GROUP_ID, SET_USER_ID};

/// Findings about the file that finally runs.
pub(super) fn findings(file: &File, status: &FileStat, chain: &[Link]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ignored = set_id::ignored_by_kernel(file);
    let effect = |what: String| {
        if ignored {
            format!(
                "{what}, but that is ignored: the mount is nosuid, or this process has no_new_privs"
            )
        } else {
            what
        }
    };
    let mode = status.st_mode;
    if mode & libc::S_ISUID != 0 {
        let message = effect(format!(
            "mode {:04o}: it runs as user {}",
            mode & 0o7777,
            status.st_uid
        ));
        findings.push(Finding::new(&SET_USER_ID, message));
    }
    if mode & libc::S_ISGID != 0 && mode & set_id::GROUP_EXECUTE != 0 {
        let message = effect(format!(
            "mode {:04o}: it runs as group {}",
            mode & 0o7777,
            status.st_gid
        ));
        findings.push(Finding::new(&SET_GROUP_ID, message));
    }
    if set_id::has_capabilities(file.as_fd()) {
        let message = effect("it has the attribute security.capability (see getcap)".to_owned());
        findings.push(Finding::new(&FILE_CAPABILITIES, message));
    }
    if let (Some(link), false) = (chain.last(), findings.is_empty()) {
        for finding in &mut findings {
            finding.file = Some(link.interpreter.clone());
        }
    }
    findings
}

/// A finding about such bits of the script itself.
pub(super) fn of_script(status: &FileStat) -> Option<Finding> {
    let bits = status.st_mode & (libc::S_ISUID | libc::S_ISGID);
    let message = format!(
        "mode {:04o}: only the interpreter's bits are used",
        status.st_mode & 0o7777
    );
    (bits != 0).then(|| Finding::new(&SCRIPT_SET_ID, message))
}
