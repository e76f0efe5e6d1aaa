//! The rules: up quickly, down slowly, never outside the bounds.

use ropewalk_model::monitor::Rule;

use crate::memory::Memory;
use crate::sample::{BUCKET, Bucket, Sample, buckets};

/// Seconds of samples that a decision may look at; older ones need not be kept.
pub const HISTORY: u64 = CALM;

/// Seconds that are looked at for going up.
const WINDOW: u64 = 60;
/// So many of the window's ten seconds must be late: half a minute of evidence.
const LATE: usize = 3;
/// A percentile of fewer requests than this in the window is chance.
const FEW: u64 = 10;
/// Seconds between a change and the next step up: new dynos have booted, and what waited is answered.
const UP_REST: u64 = 60;

/// Seconds that must have been calm for going down, and that pass between a change and a step down.
const CALM: u64 = 300;
/// Seconds of those that may be unknown.
const GAPS: u64 = 30;
/// Percent of the goal.
const WELL_BELOW: u64 = 60;

/// A quantity, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Within the rule's bounds, and not what there is.
    pub quantity: u32,
    /// For the app's log: `p95 812 ms over 500 ms`.
    pub why: String,
    pub(crate) before: u32,
    /// Requests a minute that were too much for `before` dynos.
    pub(crate) strain: Option<u64>,
}

/// The quantity that would be better than `current`, if any.
///
/// Proposes nothing for a process type that was scaled to none, for that is how one is turned off, and nothing as
/// long as nothing is known. `history` is in no particular order; seconds from `now` on do not count.
pub fn propose(
    history: &[Sample],
    rule: &Rule,
    current: u32,
    memory: &Memory,
    now: u64,
) -> Option<Proposal> {
    let past = buckets(history, now, (CALM / BUCKET) as usize);
    let window = past.get(..(WINDOW / BUCKET) as usize)?;
    if current == 0 || window.iter().all(|bucket| bucket.known == 0) {
        return None;
    }
    let proposal = |quantity, why: String, strain| Proposal {
        quantity,
        why,
        before: current,
        strain,
    };
    if current < rule.min() {
        let why = format!("at least {} dynos", rule.min());
        return Some(proposal(rule.min(), why, None));
    }
    if current > rule.max() {
        let why = format!("at most {} dynos", rule.max());
        return Some(proposal(rule.max(), why, None));
    }
    if let Some(p95_ms) = late(window, rule) {
        let quantity = match memory.lately_lowered(now) {
            true => (current + 1).min(rule.max()),
            false => more(current, p95_ms, rule),
        };
        if quantity == current || !memory.rested(UP_REST, now) {
            return None;
        }
        let why = format!("p95 {p95_ms} ms over {} ms", rule.p95_ms());
        let requests = window.iter().map(|bucket| bucket.requests).sum();
        return Some(proposal(quantity, why, Some(requests)));
    }
    if current == rule.min() || !memory.rested(CALM, now) {
        return None;
    }
    let why = calm(&past, rule)?;
    let fewer = current - 1;
    (!memory.would_strain(busiest_minute(&past), fewer, now)).then(|| proposal(fewer, why, None))
}

/// The p95 that was reached in [`LATE`] of the window's buckets, if that misses the goal and it goes on.
fn late(window: &[Bucket], rule: &Rule) -> Option<u64> {
    let answered: u64 = window.iter().map(|bucket| bucket.answered).sum();
    let mut times: Vec<u64> = window.iter().filter_map(|bucket| bucket.p95_ms).collect();
    let newest = times.first().copied()?;
    times.sort_unstable_by(|a, b| b.cmp(a));
    let reached = times.get(LATE - 1).copied()?;
    let goal = u64::from(rule.p95_ms());
    (answered >= FEW && newest >= goal && reached >= goal).then_some(reached)
}

/// In proportion to how late answers are: at least one more, at most twice as many.
fn more(current: u32, p95_ms: u64, rule: &Rule) -> u32 {
    let wanted = (u64::from(current) * p95_ms.min(2 * u64::from(rule.p95_ms())))
        .div_ceil(u64::from(rule.p95_ms()));
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    wanted.max(current.saturating_add(1)).min(rule.max())
}

/// Why one fewer may do, if it may: no ten seconds were late, and nine of ten of them are well below the goal.
fn calm(past: &[Bucket], rule: &Rule) -> Option<String> {
    let known: u64 = past.iter().map(|bucket| bucket.known).sum();
    if known + GAPS < CALM {
        return None;
    }
    let goal = u64::from(rule.p95_ms());
    let line = goal * WELL_BELOW / 100;
    let busy: Vec<&Bucket> = past
        .iter()
        .filter(|bucket| bucket.requests > 0 || bucket.answered > 0)
        .collect();
    // Requests without any answer are not calm: nobody knows how late they will be.
    let calm = busy
        .iter()
        .filter(|bucket| bucket.p95_ms.is_some_and(|p95_ms| p95_ms <= line))
        .count();
    let late = busy
        .iter()
        .any(|bucket| bucket.p95_ms.is_some_and(|p95_ms| p95_ms >= goal));
    if late || calm * 10 < busy.len() * 9 {
        return None;
    }
    let worst = busy.iter().filter_map(|bucket| bucket.p95_ms).max();
    Some(match worst {
        Some(p95_ms) => format!("p95 at most {p95_ms} ms of {goal} ms for 5 minutes"),
        None => "no requests for 5 minutes".to_owned(),
    })
}

/// Requests of the minute that had the most.
fn busiest_minute(past: &[Bucket]) -> u64 {
    past.chunks((WINDOW / BUCKET) as usize)
        .map(|minute| minute.iter().map(|bucket| bucket.requests).sum())
        .max()
        .unwrap_or(0)
}
