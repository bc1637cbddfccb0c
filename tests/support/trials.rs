//! Trials that report missing features of the machine: they end as ignored, with the reason, never as passed.
//!
//! Needs that are known in advance are the `missing` of a [`trial`]. If a need shows only during the test, such as permission
//! to trace a child, the test function calls [`ignore`]. tests/run.sh counts the reasons.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Makes `main` of a test file from its test functions, each of which panics on failure.
#[macro_export]
macro_rules! trials {
    ($($($module:ident)::+),+ $(,)?) => {
        fn main() {
            $crate::trials::run($crate::named![$($($module)::+),+])
        }
    };
}

/// Test functions with their names, for [`run`].
#[macro_export]
macro_rules! named {
    ($($($module:ident)::+),+ $(,)?) => {
        [$((stringify!($($module)::+), $($module)::+ as fn())),+]
    };
}

/// Runs test functions by their names, and exits.
pub fn run<const N: usize>(tests: [(&str, fn()); N]) -> ! {
    let trials = tests
        .map(|(name, test)| asserting(name.split_whitespace().collect::<String>(), None, test));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit()
}

/// A trial, ignored if something that it needs is missing.
pub fn trial(
    name: impl Into<String>,
    missing: Option<&str>,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let missing = missing.map(str::to_owned);
    Trial::ignorable_test(name, move || match missing {
        Some(what) => Ok(Completion::ignored_with(format!("needs {what}"))),
        None => unless_ignored(run),
    })
}

/// The same for a test that panics on failure.
pub fn asserting(name: impl Into<String>, missing: Option<&str>, run: fn()) -> Trial {
    trial(name, missing, move || {
        run();
        Ok(())
    })
}

/// What a trial lacks, if anything.
pub fn lacks(what: &'static str, there: bool) -> Option<&'static str> {
    (!there).then_some(what)
}

/// The payload of a test that ends as ignored.
struct Ignored(String);

/// Ends the test as ignored because the machine lacks something.
pub fn ignore(needs: &str) -> ! {
    resume_unwind(Box::new(Ignored(format!("needs {needs}"))))
}

fn unless_ignored(run: impl FnOnce() -> Result<(), Failed>) -> Result<Completion, Failed> {
    let reason = |payload: Box<dyn Any + Send>| match payload.downcast::<Ignored>() {
        Ok(ignored) => Completion::ignored_with(ignored.0),
        Err(payload) => resume_unwind(payload),
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map(|()| Completion::Completed),
        Err(payload) => Ok(reason(payload)),
    }
}
