//! What one target asks for.

use crate::reason::Reason;

/// How many dynos a target wants, and how many it can do with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    /// What it needs now; no more than there are where it needs no more.
    pub(crate) up: u32,
    /// Why, where that is more.
    pub(crate) why_up: Reason,
    /// Fewest to which it lets the dynos go; as many as there are where none may go.
    pub(crate) floor: u32,
    /// Why that few are enough, or why none may go.
    pub(crate) why_floor: Reason,
    /// Seconds that it usually rests between a change and a step.
    pub(crate) up_rest: u64,
    pub(crate) down_rest: u64,
    /// Needs at least twice what is ready.
    pub(crate) panic: bool,
    /// Requests a minute that are too much for what there is.
    pub(crate) strain: Option<u64>,
    /// Dynos that it needs for long and for now, where it reckons in such.
    pub(crate) need: Option<Need>,
}

/// In dynos and their fractions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Need {
    /// For the load as it is.
    pub(crate) steady: f64,
    /// For what waits, and for what is about to come.
    pub(crate) surge: f64,
}

impl Wish {
    /// Nothing is known, so nothing is to change.
    pub(crate) fn none(wanted: u32, why: Reason) -> Self {
        Self {
            up: wanted,
            why_up: why.clone(),
            floor: wanted,
            why_floor: why,
            up_rest: 0,
            down_rest: 0,
            panic: false,
            strain: None,
            need: None,
        }
    }
}

impl Need {
    pub(crate) fn most(self) -> f64 {
        self.steady.max(self.surge)
    }

    pub(crate) fn or(self, other: Need) -> Need {
        Need {
            steady: self.steady.max(other.steady),
            surge: self.surge.max(other.surge),
        }
    }
}

/// Whole dynos for a need. What is no number needs none; what is beyond counting needs the most there can be.
pub(crate) fn whole(need: f64) -> u32 {
    // A cast from a float stops at the ends and takes NaN for 0. A hair above a whole number is that number.
    (need - 1e-6).ceil() as u32
}
