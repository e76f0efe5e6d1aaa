//! Rounds of the loops that keep things as they should be: when each last came round, how long it took and how it went.
//!
//! A loop notes its rounds; whose they are is known from the supervised task that it runs in. It must not be told more
//! than that, so that it runs in a test as it is.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::tasks::Tasks;

/// What a loop may be late besides three of its periods: a busy machine is not a sick one.
const PATIENCE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The supervised task that runs.
    pub(crate) static CURRENT: (Tasks, &'static str);
}

/// A round that has begun. Dropped without an end it counts for nothing, and its loop will be late.
#[derive(Debug)]
#[must_use]
pub struct Round {
    began: Instant,
}

impl Round {
    /// `within` is the longest that a loop in good health takes from the end of one round to the end of the next.
    pub fn begin(within: Duration) -> Self {
        let began = Instant::now();
        with(|rounds| {
            rounds.within = within;
            rounds.since.get_or_insert(began);
        });
        Self { began }
    }

    pub fn end<T, E: Display>(self, outcome: Result<T, E>) {
        let now = Instant::now();
        with(|rounds| {
            rounds.count += 1;
            rounds.since = Some(now);
            rounds.last_took = now.duration_since(self.began);
            rounds.last_at = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|since| since.as_secs());
            rounds.last_error = outcome.err().map(|error| error.to_string());
        });
    }
}

/// What is known of the rounds of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoundStatus {
    /// Since the process began.
    pub count: u64,
    /// Longest time from the end of one to the end of the next, in milliseconds, in good health.
    pub within_ms: u64,
    /// Unix time of the last one's end, in seconds; `None` before the first.
    pub last_at: Option<u64>,
    /// How long it took, in milliseconds.
    pub last_took_ms: u64,
    /// Why it failed.
    pub last_error: Option<String>,
    /// None has come to an end for three times as long as it should take at most.
    pub late: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds {
    count: u64,
    within: Duration,
    /// The end of the last, or the beginning of the first.
    since: Option<Instant>,
    last_at: Option<u64>,
    last_took: Duration,
    last_error: Option<String>,
}

impl Rounds {
    pub(crate) fn status(&self, now: Instant) -> RoundStatus {
        let silent = self.since.map(|since| now.duration_since(since));
        RoundStatus {
            count: self.count,
            within_ms: millis(self.within),
            last_at: self.last_at,
            last_took_ms: millis(self.last_took),
            last_error: self.last_error.clone(),
            late: silent.is_some_and(|silent| silent > self.within * 3 + PATIENCE),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn with(note: impl FnOnce(&mut Rounds)) {
    // Outside of a supervised task there is nobody to tell.
    let _ = CURRENT.try_with(|(tasks, name)| tasks.note(name, note));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_late_when_it_does_not_come_round() {
        let begin = Instant::now();
        let mut rounds = Rounds::default();
        let after = |rounds: &Rounds, seconds| {
            let now = begin + Duration::from_secs(seconds);
            rounds.status(now).late
        };
        assert!(!after(&rounds, 1_000), "it has not begun");
        rounds.within = Duration::from_secs(20);
        rounds.since = Some(begin);
        assert!(!after(&rounds, 69) && after(&rounds, 71));
        rounds.since = Some(begin + Duration::from_secs(10));
        assert!(!after(&rounds, 71) && after(&rounds, 81));
    }

    #[tokio::test]
    async fn a_task_tells_of_its_rounds_and_a_loop_in_a_test_tells_nobody() {
        Round::begin(Duration::from_secs(1)).end(Ok::<_, String>(()));
        let tasks = Tasks::default();
        tasks.supervise("looks", |shutdown| async move {
            for round in 0..3 {
                let begun = Round::begin(Duration::from_secs(1));
                begun.end(match round {
                    2 => Err("nothing to see"),
                    _ => Ok(()),
                });
            }
            shutdown.cancelled().await;
            Ok::<_, String>(())
        });
        let seen = || tasks.status().first().and_then(|task| task.rounds.clone());
        let deadline = Instant::now() + Duration::from_secs(10);
        while seen().is_none_or(|rounds| rounds.count < 3) {
            assert!(Instant::now() < deadline, "{:?}", tasks.status());
            tokio::task::yield_now().await;
        }
        let rounds = seen().expect("rounds");
        assert_eq!(rounds.last_error.as_deref(), Some("nothing to see"));
        assert!((rounds.within_ms, rounds.late) == (1_000, false) && rounds.last_at.is_some());
        assert!(tasks.stop(Duration::from_secs(10)).await);
    }
}
