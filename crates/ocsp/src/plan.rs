//! When to ask, and what people are told. No IO, no clock, no randomness: luck is a parameter.

use jiff::{SignedDuration, Timestamp};

use crate::answer::Answer;
use crate::status::{State, Status};

/// Longest time between two answers: what is revoked meanwhile is not seen before.
const LONGEST: SignedDuration = SignedDuration::from_hours(4 * 24);
/// Between two tries at least.
const LEAST: SignedDuration = SignedDuration::from_mins(1);
/// Between two tries that fail at most.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// Between two times that somebody is told of the same.
const REMIND: SignedDuration = SignedDuration::from_hours(24);

/// When to ask again after `answer`: at half of its time, up to a tenth of it later. One that came late is followed up
/// at half of what is left. `luck` is from 0 to 1.
pub(crate) fn after(answer: &Answer, now: Timestamp, luck: f64) -> Timestamp {
    let life = answer.until.duration_since(answer.from);
    let since = (life / 2).min(LONGEST) + scaled(life.min(LONGEST * 2) / 10, luck);
    let due = answer.from.checked_add(since).unwrap_or(now);
    let soonest = answer.until.duration_since(now) / 2;
    let wait = due.duration_since(now).max(soonest.min(PATIENCE));
    now.checked_add(wait.max(LEAST)).unwrap_or(due)
}

/// When to ask again after so many tries in a row that failed: twice as long each time, and up to a quarter longer.
pub(crate) fn retry(failures: u32, now: Timestamp, luck: f64) -> Timestamp {
    let doubled = LEAST * 2_i32.pow(failures.saturating_sub(1).min(10));
    let wait = doubled.min(PATIENCE);
    now.checked_add(wait + scaled(wait / 4, luck))
        .unwrap_or(now)
}

fn scaled(duration: SignedDuration, luck: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(duration.as_secs_f64() * luck.clamp(0.0, 1.0))
        .unwrap_or(duration)
}

/// What is wrong with a certificate for those who visit it, if anything is.
pub(crate) fn trouble(status: &Status) -> Option<String> {
    match (&status.state, status.must_staple) {
        (State::Revoked { at, reason }, _) => {
            let day = at.strftime("%Y-%m-%d");
            let why = reason.map(|why| format!(" ({why})")).unwrap_or_default();
            Some(format!(
                "the certificate was revoked by its authority on {day}{why}, and clients refuse it: \
                 bring another one"
            ))
        }
        (State::Failing { why }, true) => Some(format!(
            "clients refuse the certificate without word of its authority that it is not revoked (must-staple), and \
             there is none: {why}"
        )),
        (State::Nobody, true) => Some(
            "clients refuse the certificate without word of its authority that it is not revoked (must-staple), and \
             it names nobody to ask"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether it is time to tell of what was told of at `last`.
pub(crate) fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= REMIND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Verdict;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    fn answer(from: i64, until: i64) -> Answer {
        Answer {
            verdict: Verdict::Good,
            from: at(from),
            until: at(until),
        }
    }

    #[test]
    fn the_next_is_asked_for_at_half_of_the_time() {
        assert_eq!(after(&answer(0, 100), at(0), 0.0), at(50));
        assert_eq!(after(&answer(0, 100), at(0), 1.0), at(60));
        // An answer for a year says nothing about tomorrow.
        assert_eq!(after(&answer(0, 8_760), at(0), 0.0), at(96));
        assert!(after(&answer(0, 8_760), at(0), 1.0) <= at(120));
        // It came when half was over: within the hour, and never at once.
        assert_eq!(after(&answer(0, 100), at(70), 0.5), at(71));
        let last = at(100) - SignedDuration::from_secs(5);
        let next = after(&answer(0, 100), last, 0.5);
        assert_eq!(next.duration_since(last), LEAST);
    }

    #[test]
    fn what_fails_is_tried_ever_more_seldom() {
        let wait = |failures, luck| retry(failures, at(0), luck).duration_since(at(0));
        assert_eq!(wait(1, 0.0).as_mins(), 1);
        assert_eq!(wait(3, 0.0).as_mins(), 4);
        assert_eq!(wait(7, 0.0).as_mins(), 60);
        assert_eq!(wait(u32::MAX, 1.0).as_mins(), 75);
    }

    #[test]
    fn people_are_told_of_what_clients_refuse() {
        let status = |must_staple, state| Status { must_staple, state };
        let failing = || State::Failing {
            why: "it took too long".to_owned(),
        };
        let revoked = State::Revoked {
            at: at(24),
            reason: Some("its key is compromised"),
        };
        let text = trouble(&status(false, revoked)).unwrap();
        assert!(
            text.contains("revoked by its authority on 1970-01-02 (its key is compromised)"),
            "{text}"
        );
        assert!(trouble(&status(true, failing())).is_some());
        assert!(trouble(&status(true, State::Nobody)).is_some());
        for good in [
            status(false, failing()),
            status(false, State::Nobody),
            status(true, State::Pending),
            status(true, State::Good { until: at(1) }),
        ] {
            assert_eq!(trouble(&good), None, "{good:?}");
        }
        assert!(is_due(None, at(0)) && is_due(Some(at(0)), at(24)) && !is_due(Some(at(0)), at(23)));
    }
}
