//! The environment of the new program: unchanged, or with this library added so that the whole process tree is followed.
//!
//! A program loads this library only because of `LD_PRELOAD` (T-3). A program that builds its own environment for its
//! children leaves the variable out. A program of another C library cannot load this library, and would not start with it.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use supplant_loader::{BadAddress, Strings};

use crate::settings::{FOLLOW, LOG, STRICT, Settings};

const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// The bytes of a variable that are read to find its name.
const NAME_LIMIT: u64 = 4096;

/// The change of this library's entry in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    AsGiven,
    Added,
    Removed,
}

/// `envp`, changed if the tree is followed, or if the program could not load this library.
#[derive(Debug)]
pub(crate) struct Environment<'a, S> {
    given: S,
    settings: &'a Settings,
    change: Library,
    /// The number of given entries.
    count: usize,
    /// The index of the effective `LD_PRELOAD` among the given entries, and its replacement.
    replacement: Option<(usize, CString)>,
    added: Vec<CString>,
    /// Whether the copied environment names this library.
    pub(crate) has_library: bool,
}

impl<'a, S: Strings> Environment<'a, S> {
    pub(crate) fn new(given: S, settings: &'a Settings) -> Self {
        Self {
            given,
            settings,
            change: if settings.follow {
                Library::Added
            } else {
                Library::AsGiven
            },
            count: 0,
            replacement: None,
            added: Vec::new(),
            has_library: false,
        }
    }

    /// Removes the library from the environment.
    pub(crate) fn remove_library(&mut self) {
        self.change = Library::Removed;
        self.has_library = false;
    }

    /// Finds out what to change. Variables that cannot be read are ignored here: they cause an error later.
    fn change(&mut self) {
        self.added.clear();
        self.replacement = None;
        let Some(library) = &self.settings.library else {
            return;
        };
        let mut preload = None;
        let mut names = Vec::new();
        for index in 0..self.count {
            let Ok(string) = self.given.string(index, NAME_LIMIT) else {
                continue;
            };
            if string.to_bytes().starts_with(PRELOAD) {
                preload = Some((index, string));
            } else if string.to_bytes().starts_with(b"SUPPLANT_INTERPOSE_") {
                names.push(string);
            }
        }
        if self.change == Library::Removed {
            self.replacement = preload.map(|(index, string)| (index, without(library, &string)));
            return;
        }
        match preload {
            Some((_, string)) if names_library(&string, library) => (),
            Some((index, string)) => {
                let others = &string.to_bytes()[PRELOAD.len()..];
                self.replacement = Some((index, preload_of(library, others)));
            }
            None => self.added.push(preload_of(library, b"")),
        }
        self.add_settings(&names);
    }

    fn add_settings(&mut self, given: &[CString]) {
        let log = self.settings.log.as_ref().map(|log| log.as_os_str());
        let yes = OsStr::new("1");
        for (name, value) in [
            (FOLLOW, Some(yes)),
            (STRICT, Some(yes).filter(|_| self.settings.strict)),
            (LOG, log),
        ] {
            let prefix = [name.as_bytes(), b"="].concat();
            let is_given = given
                .iter()
                .any(|string| string.to_bytes().starts_with(&prefix));
            if let Some(value) = value.filter(|_| !is_given) {
                let string = CString::new([&prefix, value.as_bytes()].concat());
                self.added.extend(string);
            }
        }
    }
}

impl<S: Strings> Strings for Environment<'_, S> {
    fn count(&mut self) -> Result<usize, BadAddress> {
        self.count = self.given.count()?;
        if self.change != Library::AsGiven {
            self.change();
        }
        Ok(self.count + self.added.len())
    }

    fn string(&mut self, index: usize, limit: u64) -> Result<CString, BadAddress> {
        let string = match (&self.replacement, index.checked_sub(self.count)) {
            (_, Some(added)) => self.added.get(added).cloned().unwrap_or_default(),
            (Some((at, replacement)), None) if *at == index => replacement.clone(),
            _ => self.given.string(index, limit)?,
        };
        if let Some(library) = &self.settings.library {
            self.has_library |= names_library(&string, library);
        }
        Ok(string)
    }
}

/// Whether the variable is `LD_PRELOAD` and contains the library's name, in any directory.
fn names_library(variable: &CStr, library: &Path) -> bool {
    let Some(value) = variable.to_bytes().strip_prefix(PRELOAD) else {
        return false;
    };
    names(value).any(|name| is_library(name, library))
}

/// The libraries in the variable's value.
fn names(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| b": ".contains(byte))
}

fn is_library(name: &[u8], library: &Path) -> bool {
    Path::new(OsStr::from_bytes(name)).file_name() == library.file_name()
}

/// The variable without the library, but with its other libraries.
fn without(library: &Path, variable: &CStr) -> CString {
    let value = &variable.to_bytes()[PRELOAD.len()..];
    let others = names(value).filter(|name| !is_library(name, library));
    let others = others.collect::<Vec<_>>().join(&b':');
    CString::new([PRELOAD, &others].concat()).unwrap_or_default()
}

fn preload_of(library: &Path, others: &[u8]) -> CString {
    let mut value = [PRELOAD, library.as_os_str().as_bytes()].concat();
    if !others.is_empty() {
        value.push(b':');
        value.extend_from_slice(others);
    }
    CString::new(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(follow: bool) -> Settings {
        Settings {
            follow,
            strict: false,
            log: Some("/tmp/log".into()),
            library: Some("/lib/libx.so".into()),
            linker: None,
        }
    }

    fn passed(given: &[&CStr], settings: &Settings) -> (Vec<CString>, bool) {
        let mut environment = Environment::new(given, settings);
        (strings(&mut environment), environment.has_library)
    }

    fn strings(environment: &mut Environment<'_, &[&CStr]>) -> Vec<CString> {
        let count = environment.count().unwrap();
        let string = |index| environment.string(index, 4096).unwrap();
        (0..count).map(string).collect()
    }

    #[test]
    fn a_program_of_another_c_library_does_not_get_it() {
        let given = [c"LD_PRELOAD=a.so:/lib/libx.so b.so", c"A=1"];
        for follow in [false, true] {
            let settings = settings(follow);
            let mut environment = Environment::new(given.as_slice(), &settings);
            strings(&mut environment);
            environment.remove_library();
            let expected = [c"LD_PRELOAD=a.so:b.so", c"A=1"];
            assert_eq!(strings(&mut environment), expected.map(CStr::to_owned));
            assert!(!environment.has_library);
        }
    }

    #[test]
    fn an_environment_is_passed_as_given() {
        let given = [c"A=1", c"LD_PRELOAD=/other/libx.so"];
        assert_eq!(
            passed(&given, &settings(false)),
            (given.map(CStr::to_owned).into(), true)
        );
        assert_eq!(
            passed(&[c"A=1"], &settings(false)),
            (vec![c"A=1".to_owned()], false)
        );
        assert_eq!(passed(&[], &settings(false)), (vec![], false));
    }

    #[test]
    fn a_followed_environment_gets_what_is_missing_at_its_end() {
        let more = [
            c"LD_PRELOAD=/lib/libx.so",
            c"SUPPLANT_INTERPOSE_FOLLOW=1",
            c"SUPPLANT_INTERPOSE_LOG=/tmp/log",
        ];
        let expected = more.map(CStr::to_owned);
        assert_eq!(passed(&[], &settings(true)), (expected.into(), true));
    }

    #[test]
    fn a_followed_environment_keeps_other_libraries_and_settings() {
        let given = [c"LD_PRELOAD=liba.so", c"SUPPLANT_INTERPOSE_LOG=/else"];
        let expected = [
            c"LD_PRELOAD=/lib/libx.so:liba.so",
            c"SUPPLANT_INTERPOSE_LOG=/else",
            c"SUPPLANT_INTERPOSE_FOLLOW=1",
        ];
        assert_eq!(
            passed(&given, &settings(true)),
            (expected.map(CStr::to_owned).into(), true)
        );
    }
}
