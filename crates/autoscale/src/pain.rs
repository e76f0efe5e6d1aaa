//! Targets that are felt only once they are missed: how late answers are, how long requests wait.
//!
//! Nothing says how many dynos would do, so they come in proportion to the trouble and go one at a time.

use crate::decide::Asked;
use crate::reason::Reason;
use crate::sample::{BUCKET, Bucket, buckets};
use crate::signals::HISTORY;
use crate::wish::Wish;

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
/// Percent of the seconds that may be unknown.
const GAPS: u64 = 10;
/// Percent of the goal.
const WELL_BELOW: u64 = 60;

/// Newest seconds that are looked at for a queue, and how many of them must be too long.
const QUEUE_WINDOW: usize = 5;
const QUEUE_LATE: usize = 3;
const QUEUE_UP_REST: u64 = 20;

/// By 95 of 100 answers.
pub(crate) fn late(asked: &Asked<'_>, goal_ms: u32) -> Wish {
    let wanted = asked.dynos.wanted;
    let past = buckets(
        asked.signals.traffic,
        asked.now,
        (HISTORY / BUCKET) as usize,
    );
    let window = past.get(..(WINDOW / BUCKET) as usize).unwrap_or(&past);
    let mut wish = Wish::none(wanted, Reason::Unknown);
    (wish.up_rest, wish.down_rest) = (UP_REST, calm_seconds(asked));
    if window.iter().all(|bucket| bucket.known == 0) {
        return wish;
    }
    wish.why_floor = Reason::Fits;
    if let Some(p95_ms) = late_time(window, goal_ms) {
        wish.up = more(asked, p95_ms, goal_ms);
        wish.why_up = Reason::Late { p95_ms, goal_ms };
        wish.strain = Some(requests(window));
        return wish;
    }
    match calm(asked, &past, goal_ms) {
        Ok(why) => (wish.floor, wish.why_floor) = (wanted.saturating_sub(1), why),
        Err(why) => wish.why_floor = why,
    }
    wish
}

/// By how long requests wait before a dyno gets them.
pub(crate) fn queued(asked: &Asked<'_>, goal_ms: u32) -> Wish {
    let wanted = asked.dynos.wanted;
    let mut wish = Wish::none(wanted, Reason::Unknown);
    (wish.up_rest, wish.down_rest) = (QUEUE_UP_REST, calm_seconds(asked));
    if asked.recent.is_unknown() {
        return wish;
    }
    wish.why_floor = Reason::Fits;
    let goal = u64::from(goal_ms);
    let waits: Vec<u64> = asked
        .recent
        .newest(QUEUE_WINDOW)
        .map(|sample| buckets(std::slice::from_ref(sample), sample.second + 1, 1))
        .filter_map(|one| one.first().map(|bucket| bucket.queue_ms))
        .collect();
    let too_long: Vec<u64> = waits.iter().copied().filter(|ms| *ms >= goal).collect();
    if too_long.len() >= QUEUE_LATE && waits.first().is_some_and(|ms| *ms >= goal) {
        let ms = too_long.into_iter().min().unwrap_or(goal);
        wish.up = more(asked, ms, goal_ms);
        wish.why_up = Reason::Queue { ms, goal_ms };
        let minute = asked.recent.span(0, WINDOW as usize).requests;
        wish.strain = Some(minute as u64);
        return wish;
    }
    let past = calm_past(asked);
    let line = goal * WELL_BELOW / 100;
    let worst = past.iter().map(|bucket| bucket.queue_ms).max().unwrap_or(0);
    let quick = past
        .iter()
        .all(|bucket| bucket.queue_ms <= line && bucket.given_up == 0);
    wish.why_floor = match (is_known(&past), quick) {
        (false, _) => Reason::NotYet {
            seconds: calm_seconds(asked),
        },
        (true, false) => Reason::Fits,
        (true, true) if strains(asked, &past) => Reason::Strained,
        (true, true) => {
            wish.floor = wanted.saturating_sub(1);
            Reason::Prompt {
                ms: worst,
                goal_ms,
                seconds: past.len() as u64 * BUCKET,
            }
        }
    };
    wish
}

/// The time that was reached in [`LATE`] of the window's buckets, if that misses the goal and it goes on.
fn late_time(window: &[Bucket], goal_ms: u32) -> Option<u64> {
    let ended: u64 = window
        .iter()
        .fold(0, |sum, bucket| sum.saturating_add(bucket.ended));
    let mut times: Vec<u64> = window.iter().filter_map(|bucket| bucket.p95_ms).collect();
    let newest = times.first().copied()?;
    times.sort_unstable_by(|a, b| b.cmp(a));
    let reached = times.get(LATE - 1).copied()?;
    let goal = u64::from(goal_ms);
    (ended >= FEW && newest >= goal && reached >= goal).then_some(reached)
}

/// In proportion to how late it is: at least one more, at most twice as many. Just one after a step down.
fn more(asked: &Asked<'_>, ms: u64, goal_ms: u32) -> u32 {
    let (wanted, goal) = (asked.dynos.wanted, u64::from(goal_ms.max(1)));
    let one = wanted.saturating_add(1);
    if asked.memory.lately_lowered(asked.now) {
        return one;
    }
    let proportion = (u64::from(wanted) * ms.min(2 * goal)).div_ceil(goal);
    u32::try_from(proportion).unwrap_or(u32::MAX).max(one)
}

/// Why one fewer may do, or why not: no ten seconds were late, and nine of ten of them are well below the goal.
fn calm(asked: &Asked<'_>, past: &[Bucket], goal_ms: u32) -> Result<Reason, Reason> {
    let seconds = calm_seconds(asked);
    let past = past
        .get(..(seconds.min(HISTORY) / BUCKET) as usize)
        .unwrap_or(past);
    if !is_known(past) {
        return Err(Reason::NotYet { seconds });
    }
    let goal = u64::from(goal_ms);
    let line = goal * WELL_BELOW / 100;
    let busy: Vec<&Bucket> = past
        .iter()
        .filter(|bucket| bucket.requests > 0 || bucket.ended > 0 || bucket.queue_ms > 0)
        .collect();
    // Requests without any answer are not calm: nobody knows how late they will be.
    let calm = busy
        .iter()
        .filter(|bucket| bucket.p95_ms.is_some_and(|p95_ms| p95_ms <= line))
        .count();
    let late = busy
        .iter()
        .any(|bucket| bucket.given_up > 0 || bucket.p95_ms.is_some_and(|p95_ms| p95_ms >= goal));
    if late || calm * 10 < busy.len() * 9 {
        return Err(Reason::Fits);
    }
    if strains(asked, past) {
        return Err(Reason::Strained);
    }
    Ok(Reason::Calm {
        p95_ms: busy.iter().filter_map(|bucket| bucket.p95_ms).max(),
        goal_ms,
        seconds: past.len() as u64 * BUCKET,
    })
}

fn calm_seconds(asked: &Asked<'_>) -> u64 {
    asked.pace.down_after.map_or(CALM, u64::from)
}

fn calm_past(asked: &Asked<'_>) -> Vec<Bucket> {
    let seconds = calm_seconds(asked).min(HISTORY);
    buckets(
        asked.signals.traffic,
        asked.now,
        (seconds / BUCKET) as usize,
    )
}

fn is_known(past: &[Bucket]) -> bool {
    let known: u64 = past.iter().map(|bucket| bucket.known).sum();
    known * 100 >= past.len() as u64 * BUCKET * (100 - GAPS)
}

fn requests(past: &[Bucket]) -> u64 {
    past.iter()
        .fold(0, |sum, bucket| sum.saturating_add(bucket.requests))
}

/// Whether one fewer would have too much of what came in the busiest minute.
fn strains(asked: &Asked<'_>, past: &[Bucket]) -> bool {
    let busiest = past
        .chunks((WINDOW / BUCKET) as usize)
        .map(requests)
        .max()
        .unwrap_or(0);
    let fewer = asked.dynos.wanted.saturating_sub(1);
    asked.memory.would_strain(busiest, fewer, asked.now)
}
