//! The result of a comparison, as it is printed and as it is written in JSON (docs/compare-json.md).

use serde::{Deserialize, Serialize};
use supplant_inspect::snapshot::Snapshot;
use supplant_inspect::snapshot::diff::Report;
use supplant_inspect::snapshot::known::Known;

use crate::status::{DIFFERENT, EQUAL, NOT_COMPARED};

/// The version of the JSON form.
const SCHEMA: u32 = 2;

/// The result for one program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) schema: u32,
    pub(crate) program: String,
    /// The names of the left and the right side.
    pub(crate) sides: [String; 2],
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// How the two attempts ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Both stopped at the requested point, or ran to their end.
    Started {
        /// What differs.
        report: Report,
        /// The snapshots of both, if memory and registers were compared.
        #[serde(skip)]
        seen: Option<Box<[Snapshot; 2]>>,
    },
    /// Both ended the same way before that.
    Alike {
        /// How.
        ending: String,
        /// The check of our loader that failed.
        reason: String,
    },
    /// They ended in different ways.
    Apart {
        /// Why that is expected.
        known: Option<Known>,
        /// That of the left side and that of the right side.
        endings: [String; 2],
        /// The reason that our loader gives.
        reason: String,
    },
    /// The program could not be compared.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Comparison {
    pub(crate) fn new(program: String, sides: [String; 2], outcome: Outcome) -> Self {
        Self {
            schema: SCHEMA,
            program,
            sides,
            outcome,
        }
    }

    /// The exit status of the command that made it.
    pub(crate) fn status(&self) -> i32 {
        let is_clean = match &self.outcome {
            Outcome::Started { report, .. } => report.is_clean(),
            Outcome::Alike { .. } => true,
            Outcome::Apart { known, .. } => known.is_some(),
            Outcome::Failed { .. } => return NOT_COMPARED,
        };
        if is_clean { EQUAL } else { DIFFERENT }
    }
}
