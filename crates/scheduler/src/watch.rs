//! What dynos use of their memory, and what is said of it: R14 beyond the quota, R15 for a process that the kernel ended.
//!
//! Looks every few seconds at the kernel's own counts; no engine is asked. A whole dyno that ends for want of memory is
//! told of where ends are told; here it is processes of one that goes on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use ropewalk_engine::ContainerId;
use ropewalk_engine::cgroup::{Cgroup, MemoryUse};
use ropewalk_model::{AppId, DynoId, DynoName};
use ropewalk_telemetry::Round;
use tokio_util::sync::CancellationToken;

use crate::output;
use crate::reconcile::Shared;

const PERIOD: Duration = Duration::from_secs(2);
/// Between two lines that say the same of one dyno.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// A dyno that runs.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) dyno: DynoId,
    pub(crate) app: AppId,
    pub(crate) name: DynoName,
    /// Bytes.
    pub(crate) quota: u64,
    /// MiB that it may write; 0 is no limit.
    pub(crate) disk_mib: u64,
    pub(crate) container: ContainerId,
    pub(crate) pid: u32,
}

/// What is known of one from look to look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// Kills that were told of, or were there at the first look.
    kills: Option<u64>,
    /// Kills that the last look saw.
    last: u64,
    /// When it was last said that it is over its quota.
    over_at: Option<Instant>,
}

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// It uses more than its quota.
    Over { used: u64 },
    /// So many of its processes were killed, and it goes on.
    Killed { processes: u64 },
}

/// Looks until `shutdown`.
pub(crate) async fn run(shared: &Shared, shutdown: CancellationToken) {
    let mut known: HashMap<DynoId, Known> = HashMap::new();
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let round = Round::begin(PERIOD);
        let running = shared.memory().running.clone();
        let seen = match tokio::task::spawn_blocking(move || look(running)).await {
            Ok(seen) => seen,
            Err(error) => {
                round.end(Err::<(), _>(error));
                continue;
            }
        };
        let mut next = HashMap::with_capacity(seen.len());
        for (one, memory) in seen {
            let before = known.get(&one.dyno).copied().unwrap_or_default();
            let (after, findings) = judge(before, memory, one.quota, Instant::now());
            next.insert(one.dyno, after);
            for finding in findings {
                say(shared, &one, finding);
            }
        }
        known = next;
        round.end(Ok::<_, Infallible>(()));
    }
}

/// Blocking. Those that ended meanwhile are left out.
fn look(running: Vec<Running>) -> Vec<(Running, MemoryUse)> {
    running
        .into_iter()
        .filter_map(|one| {
            let cgroup = Cgroup::of(one.pid).ok()?;
            let memory = cgroup.memory().ok()?;
            // A number that went to another process tells of another's memory.
            cgroup.is_of(&one.container).then_some((one, memory))
        })
        .collect()
}

/// A kill is told of at the look after the one that saw it: by then a dyno whose first process it was is gone, and is
/// told of otherwise.
fn judge(before: Known, memory: MemoryUse, quota: u64, now: Instant) -> (Known, Vec<Finding>) {
    let mut findings = Vec::new();
    let told = before.kills.unwrap_or(memory.kills);
    let due = before.last.max(told);
    if due > told {
        findings.push(Finding::Killed {
            processes: due - told,
        });
    }
    let over = memory.used > quota;
    let due_again = |at: Instant| now.duration_since(at) >= SAY_EVERY;
    let mut over_at = before.over_at;
    if over && over_at.is_none_or(due_again) {
        findings.push(Finding::Over { used: memory.used });
        over_at = Some(now);
    }
    let after = Known {
        kills: Some(due),
        last: memory.kills,
        over_at,
    };
    (after, findings)
}

/// The lines that Heroku's users know (Dev Center, "Error Codes").
fn say(shared: &Shared, one: &Running, finding: Finding) {
    let process = one.name.to_string();
    let say = |text: &str| output::say(shared, one.app, &process, text);
    match finding {
        Finding::Over { used } => {
            say(&usage(used, one.quota));
            say("Error R14 (Memory quota exceeded)");
        }
        Finding::Killed { processes } => {
            say("Error R15 (Memory quota vastly exceeded)");
            let which = match processes {
                1 => "a process".to_owned(),
                many => format!("{many} processes"),
            };
            say(&format!(
                "Stopped {which} with SIGKILL, and not the first one"
            ));
        }
    }
}

/// `Process running mem=600M(117.1%)`
fn usage(used: u64, quota: u64) -> String {
    let tenths = used.saturating_mul(1000) / quota.max(1);
    format!(
        "Process running mem={}M({}.{}%)",
        used >> 20,
        tenths / 10,
        tenths % 10
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u64 = 512 << 20;

    fn memory(used: u64, kills: u64) -> MemoryUse {
        MemoryUse {
            used,
            limit: Some(2 * QUOTA),
            kills,
        }
    }

    #[test]
    fn what_is_over_its_quota_is_told_once_a_minute() {
        let start = Instant::now();
        let mut known = Known::default();
        let mut told = 0;
        for second in (0..300).step_by(2) {
            let now = start + Duration::from_secs(second);
            let used = if second < 100 { QUOTA } else { QUOTA + 1 };
            let (after, findings) = judge(known, memory(used, 0), QUOTA, now);
            known = after;
            told += findings.len();
            assert!(findings.is_empty() || second >= 100);
        }
        assert_eq!(told, 4);
    }

    #[test]
    fn a_kill_is_told_once_by_the_next_look() {
        let now = Instant::now();
        let mut known = Known::default();
        let mut told = Vec::new();
        for kills in [3, 3, 4, 4, 4, 6, 6] {
            let (after, findings) = judge(known, memory(0, kills), QUOTA, now);
            known = after;
            told.push(findings);
        }
        let one = vec![Finding::Killed { processes: 1 }];
        let two = vec![Finding::Killed { processes: 2 }];
        let none = Vec::new();
        assert_eq!(
            told,
            [
                none.clone(),
                none.clone(),
                none.clone(),
                one,
                none.clone(),
                none,
                two
            ]
        );
    }

    #[test]
    fn memory_is_told_as_heroku_does() {
        assert_eq!(usage(600 << 20, QUOTA), "Process running mem=600M(117.1%)");
    }
}
