//! Which runs of jobs begin, and which do not: a pure function of the jobs, of their runs that are not over, and of the
//! host's clock.
//!
//! A time at which a job is to run is a slot. First a slot is taken (its row is written, by a key that exists once), then
//! its run gets a dyno; so a slot runs at most once, whatever dies in between and wherever the clock goes. Of several
//! slots that have come since the last look, only the last one counts. `carry` does what is decided here.

mod carry;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::job::{Missed, Overlap, RunState, Trigger};
use ropewalk_model::{DynoState, JobId};
use ropewalk_store::{Job, JobRun, OpenRun};

pub(crate) use carry::note_launch;

/// A run that begins later than this after its slot was missed.
const LATE: SignedDuration = SignedDuration::from_mins(10);
/// Dynos of jobs that start at the same time: many jobs have the same minute.
const STARTS: usize = 8;

/// Why a run has ended whose dyno nobody saw end.
pub(crate) const GONE: &str = "its dyno is gone";
const STILL_RUNNING: &str = "the run before it goes on";
const NOTHING_COULD_RUN: &str = "nothing could run when its time came";
const TOO_LATE: &str = "it could not be started in time";
const REPLACED: &str = "replaced by a later run";

/// A job and those of its runs that are not over.
#[derive(Debug, Clone)]
struct Seen {
    job: Job,
    open: Vec<OpenRun>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The slot's run waits for its dyno; what goes on of others is ended.
    Take {
        slot: Timestamp,
        replace: Vec<JobRun>,
    },
    /// The slot's run will have no dyno.
    Pass {
        slot: Timestamp,
        state: RunState,
        reason: &'static str,
    },
    /// The clock went back: slots from then on are looked at again.
    Rewind { to: Timestamp },
    /// A run that waits gets its dyno.
    Start { run: JobRun },
    /// A run that waits will have no dyno.
    GiveUp {
        run: JobRun,
        state: RunState,
        reason: &'static str,
    },
    /// A run's dyno is not there.
    Lose { run: JobRun },
}

/// What to do, in order, and when to look again even if nothing happens.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
    steps: Vec<(JobId, Step)>,
    wake_at: Option<Timestamp>,
    /// Whether runs wait for others to end or to start.
    waits: bool,
}

fn due(seen: &[Seen], now: Timestamp) -> Due {
    let mut due = Due::default();
    for one in seen {
        due.slot(one, now);
    }
    let lost = |run: &&OpenRun| run.run.state == RunState::Running && run.dyno_state.is_none();
    for run in seen.iter().flat_map(|one| &one.open).filter(lost) {
        let run = run.run.clone();
        due.steps.push((run.job, Step::Lose { run }));
    }
    due.start_waiting(seen, now);
    due
}

impl Due {
    /// The newest slot that has come and of which nothing is decided.
    fn slot(&mut self, one: &Seen, now: Timestamp) {
        let (job, settings) = (&one.job, &one.job.settings);
        if !settings.is_active {
            return;
        }
        if now < job.decided_until {
            self.steps.push((job.id, Step::Rewind { to: now }));
        }
        let (schedule, zone) = (&settings.schedule, &settings.time_zone);
        if let Some(slot) = schedule.last_in(zone, job.decided_until, now) {
            self.steps.push((job.id, decide(one, slot, now)));
        }
        if let Some(next) = schedule.next_after(zone, now) {
            self.wake_at = Some(self.wake_at.map_or(next, |before| before.min(next)));
        }
    }

    /// Runs that wait, the oldest first, as many as may start at the same time.
    fn start_waiting(&mut self, seen: &[Seen], now: Timestamp) {
        let jobs: HashMap<JobId, &Seen> = seen.iter().map(|one| (one.job.id, one)).collect();
        let open = || seen.iter().flat_map(|one| &one.open);
        let starting = open().filter(|run| run.dyno_state == Some(DynoState::Starting));
        let mut places = STARTS.saturating_sub(starting.count());
        let mut waiting: Vec<&JobRun> = open()
            .map(|open| &open.run)
            .filter(|run| run.state == RunState::Waiting)
            .collect();
        waiting.sort_by_key(|run| (run.slot_at, run.job));
        let mut begun: Vec<JobId> = Vec::new();
        for run in waiting {
            let Some(one) = jobs.get(&run.job) else {
                continue;
            };
            let settings = &one.job.settings;
            let is_alone = settings.overlap != Overlap::Allow;
            let is_late = now.duration_since(run.slot_at) > LATE;
            let step = match run.trigger {
                Trigger::Schedule if is_late && settings.missed == Missed::Skip => Step::GiveUp {
                    run: run.clone(),
                    state: RunState::Missed,
                    reason: TOO_LATE,
                },
                _ if is_alone && (begun.contains(&run.job) || one.goes_on()) => {
                    self.waits = true;
                    continue;
                }
                _ if places == 0 => {
                    self.waits = true;
                    continue;
                }
                _ => {
                    places -= 1;
                    begun.push(run.job);
                    Step::Start { run: run.clone() }
                }
            };
            self.steps.push((run.job, step));
        }
    }
}

fn decide(one: &Seen, slot: Timestamp, now: Timestamp) -> Step {
    let settings = &one.job.settings;
    if settings.missed == Missed::Skip && now.duration_since(slot) > LATE {
        return Step::Pass {
            slot,
            state: RunState::Missed,
            reason: NOTHING_COULD_RUN,
        };
    }
    let others = || one.open.iter().map(|open| open.run.clone()).collect();
    match settings.overlap {
        Overlap::Skip if !one.open.is_empty() => Step::Pass {
            slot,
            state: RunState::Skipped,
            reason: STILL_RUNNING,
        },
        Overlap::Replace => Step::Take {
            slot,
            replace: others(),
        },
        Overlap::Skip | Overlap::Allow => Step::Take {
            slot,
            replace: Vec::new(),
        },
    }
}

impl Seen {
    /// Whether a run of it has a dyno, whatever state that is in.
    fn goes_on(&self) -> bool {
        let mut open = self.open.iter();
        open.any(|open| open.run.state == RunState::Running && open.dyno_state.is_some())
    }
}

#[cfg(test)]
mod tests;
