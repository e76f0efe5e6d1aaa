//! How much dynos have written, looked at so often that none fills the host's disk. What becomes of one that wrote more than
//! its size may is the planner's.
//!
//! No file system is asked for quotas, for most hosts' have none: trees are counted. That costs time with many files, so it
//! is done the less often the longer it takes, and at once when the disk has noticeably less free than at the last count.
//! That alone would not do: what others delete meanwhile hides what is written.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_model::DynoId;
use ropewalk_slug::Used;
use ropewalk_telemetry::Round;
use tokio_util::sync::CancellationToken;

use crate::reconcile::Shared;
use crate::watch::Running;

/// Between two looks at what is free, which cost nothing.
const PERIOD: Duration = Duration::from_secs(2);
/// Between two counts while nothing much is written, at least and at most.
const COUNT_EVERY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// Between those, so many times as long as counting took.
const SHARE: u32 = 20;
/// So many bytes less free are a reason to count at once.
const LESS_FREE: u64 = 256 << 20;

/// What dynos have written, as of the last count.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    known: Mutex<HashMap<DynoId, Used>>,
}

impl Disk {
    /// Nothing of one that was not counted yet.
    pub(crate) fn used(&self, dyno: DynoId) -> Used {
        self.lock().get(&dyno).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DynoId, Used>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When trees were counted last, and what was free then.
#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    free: u64,
    took: Duration,
}

/// Looks until `shutdown`.
pub(crate) async fn run(shared: &Shared, shutdown: CancellationToken) {
    let mut counted: Option<Counted> = None;
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let round = Round::begin(PERIOD);
        round.end(look(shared, &mut counted).await);
    }
}

async fn look(shared: &Shared, counted: &mut Option<Counted>) -> std::io::Result<()> {
    let stat = rustix::fs::statvfs(shared.mounts.root())?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let now = Instant::now();
    let all = counted.is_none_or(|counted| is_due(counted, free, now));
    let running = shared.memory().running.clone();
    // One that has come since may have written before the free space was noted.
    let known = shared.disk.lock().clone();
    let due = |one: &&Running| all || !known.contains_key(&one.dyno);
    let folders: Vec<(DynoId, PathBuf)> = (running.iter().filter(due))
        .map(|one| (one.dyno, shared.mounts.written_path(one.dyno)))
        .collect();
    if !all && folders.is_empty() {
        return Ok(());
    }
    // One whose folder is gone has ended.
    let count =
        |(dyno, folder): (DynoId, PathBuf)| Some((dyno, ropewalk_slug::used(&folder).ok()?));
    let count = move || folders.into_iter().filter_map(count).collect();
    let fresh: HashMap<DynoId, Used> = tokio::task::spawn_blocking(count).await?;
    let full = over(&running, &fresh);
    let mut known = shared.disk.lock();
    if all {
        let took = now.elapsed();
        *counted = Some(Counted {
            at: now,
            free,
            took,
        });
        *known = fresh;
    } else {
        known.extend(fresh);
    }
    drop(known);
    if full {
        shared.wake();
    }
    Ok(())
}

/// Whether the planner has something to do.
fn over(running: &[Running], known: &HashMap<DynoId, Used>) -> bool {
    running.iter().any(|one| {
        let used = known.get(&one.dyno).copied().unwrap_or_default();
        is_over(used, one.disk_mib)
    })
}

/// `mib` of 0 is no limit.
pub(crate) fn is_over(used: Used, mib: u64) -> bool {
    mib != 0 && (used.beyond || used.bytes > mib << 20)
}

fn is_due(counted: Counted, free: u64, now: Instant) -> bool {
    let (least, most) = COUNT_EVERY;
    let wait = counted.took.saturating_mul(SHARE).clamp(least, most);
    now.duration_since(counted.at) >= wait || free.saturating_add(LESS_FREE) <= counted.free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_counted_the_less_often_the_longer_it_takes_and_when_much_was_written() {
        let at = Instant::now();
        let counted = Counted {
            at,
            free: 10 << 30,
            took: Duration::from_millis(5),
        };
        let later = |seconds| at + Duration::from_secs(seconds);
        assert!(!is_due(counted, 10 << 30, later(9)));
        assert!(is_due(counted, 10 << 30, later(10)));
        let slow = |took| Counted {
            took: Duration::from_secs(took),
            ..counted
        };
        assert!(!is_due(slow(2), 10 << 30, later(39)));
        assert!(is_due(slow(2), 10 << 30, later(40)));
        assert!(is_due(slow(100), 10 << 30, later(60)));
        assert!(is_due(counted, (10 << 30) - LESS_FREE, later(2)));
        assert!(!is_due(counted, 20 << 30, later(2)));
    }
}
