//! What was done before: it keeps the next step from coming too early, or from undoing the last.

use crate::propose::Proposal;

/// For how long a load that was too much is remembered, in seconds.
const REMEMBERED: u64 = 3600;
/// Seconds after a step down in which lateness is laid to that step.
const PROBATION: u64 = 300;

/// What is remembered of one process type. Empty after a restart of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    quantity: Option<u32>,
    changed: Option<u64>,
    /// When the last change was a step down of ours.
    lowered: Option<u64>,
    strain: Option<Strain>,
}

/// A load that was too much for so many dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Strain {
    at: u64,
    /// Requests a minute.
    requests: u64,
    dynos: u32,
}

impl Memory {
    /// Notes how many dynos are wanted. A change by whomever begins the cool-downs anew.
    pub fn saw(&mut self, quantity: u32, now: u64) {
        if self.quantity.is_some_and(|known| known != quantity) {
            self.changed = Some(now);
            self.lowered = None;
        }
        self.quantity = Some(quantity);
    }

    /// Notes that the app is in no state to be judged, as during a deploy; the cool-downs begin when that ends.
    pub fn unsettled(&mut self, now: u64) {
        self.changed = Some(now);
    }

    /// Notes that a proposal was carried out.
    pub fn done(&mut self, proposal: &Proposal, now: u64) {
        if let Some(requests) = proposal.strain {
            self.strain = Some(Strain {
                at: now,
                requests,
                dynos: proposal.before,
            });
        }
        self.quantity = Some(proposal.quantity);
        self.changed = Some(now);
        self.lowered = (proposal.quantity < proposal.before).then_some(now);
    }

    /// Whether the last change is at least so many seconds ago.
    pub(crate) fn rested(&self, seconds: u64, now: u64) -> bool {
        self.changed
            .is_none_or(|changed| now.saturating_sub(changed) >= seconds)
    }

    /// Whether one dyno was just taken away, so that giving it back will do.
    pub(crate) fn lately_lowered(&self, now: u64) -> bool {
        self.lowered
            .is_some_and(|lowered| now.saturating_sub(lowered) < PROBATION)
    }

    /// Whether so many requests a minute come close (four fifths) to what was lately too much for a dyno.
    pub(crate) fn would_strain(&self, requests: u64, dynos: u32, now: u64) -> bool {
        let Some(strain) = &self.strain else {
            return false;
        };
        let expected = u128::from(requests) * u128::from(strain.dynos) * 5;
        let too_much = u128::from(strain.requests) * u128::from(dynos) * 4;
        now.saturating_sub(strain.at) < REMEMBERED && requests > 0 && expected >= too_much
    }
}
