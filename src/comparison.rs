//! What a comparison gave, as it is printed and as it is written in JSON (docs/compare-json.md).

use serde::{Deserialize, Serialize};
use supplant_inspect::snapshot::Snapshot;
use supplant_inspect::snapshot::diff::Report;
use supplant_inspect::snapshot::known::Known;

use crate::status::{DIFFERENT, EQUAL, NOT_COMPARED};

/// The version of the JSON form.
const SCHEMA: u32 = 2;

/// What comparing one program gave.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) schema: u32,
    pub(crate) program: String,
    /// What is on the left and on the right.
    pub(crate) sides: [String; 2],
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// How the two attempts ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Both are where they were to be stopped, or ran to their end.
    Started {
        /// What differs.
        report: Report,
        /// What was seen of both, where that was memory and registers.
        #[serde(skip)]
        seen: Option<Box<[Snapshot; 2]>>,
    },
    /// Both ended the same way before that.
    Alike {
        /// How.
        ending: String,
        /// The check that failed, in our words.
        reason: String,
    },
    /// They ended in different ways.
    Apart {
        /// Why that is no surprise.
        known: Option<Known>,
        /// The left one's and the right one's.
        endings: [String; 2],
        /// In our words.
        reason: String,
    },
    /// It could not be compared.
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

    /// What a command exits with that made it.
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
