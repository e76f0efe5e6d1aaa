//! Waiting for a table that has a dyno: a request that arrives while its app boots is held, not refused.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::code::Code;
use crate::stats::Tally;
use crate::table::Tables;

/// The patience of one request.
#[derive(Debug)]
pub(crate) struct Hold {
    limit: Duration,
    /// Since when it waits for an app to wake, [`clock::millis`].
    asleep: Option<u64>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    tables: watch::Receiver<u64>,
    until: Instant,
    _seat: Option<Seat>,
}

/// One of an app's bounded number of held requests.
#[derive(Debug)]
struct Seat(Arc<Tally>);

impl Hold {
    pub(crate) fn new(limit: Duration) -> Hold {
        Hold {
            limit,
            asleep: None,
            waiting: None,
        }
    }

    /// What it waits for is an app that sleeps.
    pub(crate) fn note_asleep(&mut self) {
        self.asleep.get_or_insert_with(clock::millis);
    }

    /// For how long it has waited for an app to wake, in ms, if it has.
    pub(crate) fn cold_start(&self) -> Option<u64> {
        self.asleep
            .map(|since| clock::millis().saturating_sub(since))
    }

    /// Returns when the table should be looked at again: at once the first time (a table may have
    /// come between the look and this call), then after each new one.
    pub(crate) async fn wait(
        &mut self,
        tables: &Tables,
        tally: Option<&Arc<Tally>>,
        seats: u64,
    ) -> Result<(), Code> {
        match &mut self.waiting {
            None => {
                let seat = tally.map(|tally| Seat::take(tally, seats)).transpose()?;
                self.waiting = Some(Waiting {
                    tables: tables.watch(),
                    until: Instant::now() + self.limit,
                    _seat: seat,
                });
                Ok(())
            }
            Some(waiting) => match timeout_at(waiting.until, waiting.tables.changed()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Code::H99),
                Err(_) => Err(Code::H20),
            },
        }
    }
}

impl Seat {
    fn take(tally: &Arc<Tally>, seats: u64) -> Result<Seat, Code> {
        let before = tally.held.fetch_add(1, Relaxed);
        let seat = Seat(Arc::clone(tally));
        if before >= seats {
            return Err(Code::H11);
        }
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
    }
}
