//! The table: resource, verb and path, and what came of it.

use std::collections::BTreeMap;
use std::fmt;

/// What came of one verb of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it is for, and the answer is as the published schema says.
    Pass,
    /// It is not there, and the answer says so in the documented form.
    Refused(String),
    /// It was left alone, and why.
    Spared(&'static str),
    Fail(String),
}

impl Outcome {
    /// The worse of two is told; of a pass and a refusal, the pass.
    fn rank(&self) -> u8 {
        match self {
            Self::Spared(_) => 0,
            Self::Refused(_) => 1,
            Self::Pass => 2,
            Self::Fail(_) => 3,
        }
    }
}

/// Every row, in the order resource, path, verb.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<(String, String, String), Outcome>,
}

impl Report {
    pub(crate) fn add(&mut self, resource: &str, method: &str, href: &str, outcome: Outcome) {
        let key = (resource.to_owned(), href.to_owned(), method.to_owned());
        let row = self.rows.entry(key).or_insert_with(|| outcome.clone());
        if outcome.rank() > row.rank() {
            *row = outcome;
        }
    }

    pub(crate) fn has(&self, resource: &str, method: &str, href: &str) -> bool {
        let key = (resource.to_owned(), href.to_owned(), method.to_owned());
        self.rows.contains_key(&key)
    }

    /// How many rows fail.
    pub fn failures(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Fail(_)))
    }

    /// How many rows pass.
    pub fn passes(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Pass)
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.values().filter(|outcome| is(outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:<7} {:<62} outcome", "resource", "verb", "path")?;
        for ((resource, href, method), outcome) in &self.rows {
            write!(f, "{resource:<28} {method:<7} {href:<62} ")?;
            match outcome {
                Outcome::Pass => writeln!(f, "pass")?,
                Outcome::Refused(how) => writeln!(f, "refused as designed ({how})")?,
                Outcome::Spared(why) => writeln!(f, "left alone ({why})")?,
                Outcome::Fail(why) => writeln!(f, "FAIL: {why}")?,
            }
        }
        let refused = self.count(|outcome| matches!(outcome, Outcome::Refused(_)));
        let spared = self.count(|outcome| matches!(outcome, Outcome::Spared(_)));
        write!(
            f,
            "\n{} pass, {refused} refused as designed, {spared} left alone, {} fail",
            self.passes(),
            self.failures()
        )
    }
}
