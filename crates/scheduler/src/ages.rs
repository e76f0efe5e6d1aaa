//! Since when dynos are as they are, by a clock that nobody sets.
//!
//! Deadlines are durations. The times in the ledger and in the engine's answers are those of the host's clock, which
//! may step between them and now; they count only for what an earlier run of the server has left.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::{DynoId, DynoState};
use tokio::time::Instant;

use crate::plan::{Seat, Seen};

/// The host's clock as it was when the server began, and from there on the time that has passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Timestamp,
    at: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            began: Timestamp::now(),
            at: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        SignedDuration::try_from(self.at.elapsed())
            .ok()
            .and_then(|passed| self.began.checked_add(passed).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

/// What earlier looks saw.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// `None` before the first look.
    known: Option<HashMap<DynoId, Age>>,
}

#[derive(Debug, Clone, Copy)]
struct Age {
    created: Timestamp,
    state: DynoState,
    entered: Timestamp,
    /// Since when its container runs.
    running: Option<Timestamp>,
}

impl Ages {
    /// Puts times of [`Clock`] in the place of those that were read. `seen` is every dyno there is.
    pub(crate) fn set<'a>(&mut self, seen: impl Iterator<Item = &'a mut Seen>, now: Timestamp) {
        let known = self.known.take();
        let mut next = HashMap::new();
        for one in seen {
            let dyno = &mut one.dyno;
            let before = match &known {
                Some(known) => known.get(&dyno.id).copied(),
                None => Some(Age {
                    created: dyno.created_at.min(now),
                    state: dyno.state,
                    entered: dyno.updated_at.min(now),
                    running: match one.seat {
                        Seat::Running { since } => Some(since.min(now)),
                        _ => None,
                    },
                }),
            };
            let entered = before.filter(|age| age.state == dyno.state);
            let age = Age {
                created: before.map_or(now, |age| age.created),
                state: dyno.state,
                entered: entered.map_or(now, |age| age.entered),
                running: match one.seat {
                    Seat::Running { .. } => before.and_then(|age| age.running).or(Some(now)),
                    _ => None,
                },
            };
            (dyno.created_at, dyno.updated_at) = (age.created, age.entered);
            if let Some(since) = age.running {
                one.seat = Seat::Running { since };
            }
            next.insert(dyno.id, age);
        }
        self.known = Some(next);
    }
}
