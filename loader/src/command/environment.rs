//! The environment of the new program, the size of all its strings, and the `PATH` in which the program is searched.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::Command;
use crate::error::ArgumentsFault;
use crate::now::sys;
use crate::open::search;
use crate::room;

impl Command {
    pub(super) fn searched_path(&self) -> Option<OsString> {
        match self.env.get(OsStr::new("PATH")) {
            Some(path) => path.clone(),
            None if self.clear_env => None,
            None => env::var_os("PATH"),
        }
    }

    /// All strings that the load copies.
    pub(super) fn strings(&self) -> room::Strings {
        let mut strings = sys::environment_size();
        let changes = self
            .env
            .iter()
            .flat_map(|(name, value)| [Some(name), value.as_ref()]);
        let others = [
            Some(&self.program),
            self.arg0.as_ref(),
            self.execfn.as_ref(),
        ];
        let all = self.args.iter().chain(changes.chain(others).flatten());
        all.for_each(|string| strings.add(string.len()));
        strings
    }

    /// An unchanged environment keeps its order and its content. Changed variables are appended.
    pub(super) fn environment(&self) -> Result<Vec<CString>, ArgumentsFault> {
        let mut strings = if self.clear_env {
            Vec::new()
        } else {
            sys::environment()
        };
        strings.retain(|string| !self.env.contains_key(variable_name(string)));
        for (name, value) in &self.env {
            let Some(value) = value else { continue };
            let string = [name.as_os_str(), OsStr::new("="), value]
                .into_iter()
                .collect::<OsString>();
            strings.push(search::c_string(&string).ok_or(ArgumentsFault::NulByte {
                what: "an environment variable",
            })?);
        }
        Ok(strings)
    }
}

/// The text before the first `=`, not counting one in the first byte; the whole string if there is none.
fn variable_name(string: &CStr) -> &OsStr {
    let bytes = string.to_bytes();
    let end = bytes
        .iter()
        .skip(1)
        .position(|&byte| byte == b'=')
        .map_or(bytes.len(), |at| at + 1);
    OsStr::from_bytes(&bytes[..end])
}
