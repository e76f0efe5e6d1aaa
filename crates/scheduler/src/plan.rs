//! What to do next: a pure function of what is wanted, what is seen, the policy and the time.
//!
//! Architecture invariant: no IO, no clock, no randomness; the same arguments give the same plan, and each
//! action says why. Rollouts are blue and green: a candidate release boots all its web dynos beside the serving
//! ones. Its release command runs before them. When every one of them is up, dynos of other types are stopped and their
//! successors started, so that none runs twice; when those have stayed up for a while, it becomes the current release.
//! Process types may ask for something else ([`Way`]).

mod dyno;
mod rollout;
mod way;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_engine::Exit;
use ropewalk_model::check::{Check, Tally};
use ropewalk_model::dyno::{BOOT_TIMEOUT, PORT, STOP_GRACE};
use ropewalk_model::{
    AppDynoSettings, AppId, DynoId, DynoName, DynoSize, DynoState, ProcessType, SleepTier,
};
use ropewalk_slug::Used;
use ropewalk_store::Dyno;

pub(crate) use dyno::{CHECK_FAILED, DISK_FULL, LOST, OUT_OF_MEMORY, is_web};
pub(crate) use way::Way;

/// What bounds the plans.
#[derive(Debug, Clone)]
pub struct Policy {
    /// From a web dyno's start until its port must be bound (R10), where its app says nothing else.
    pub boot_timeout: Duration,
    /// For a release command.
    pub release_timeout: Duration,
    /// For a dyno that no longer gets requests to finish those it has, where its app says nothing else.
    pub drain_timeout: Duration,
    /// A dyno that was up this long begins its back-off anew when it crashes.
    pub steady_after: Duration,
    /// For the terminal of an attached one-off dyno to connect.
    pub attach_timeout: Duration,
    /// A candidate's dyno that serves no requests must stay up so long to pass.
    pub settle: Duration,
    /// From a candidate's start, or the end of its release command, until its dynos must have passed, where its app
    /// says nothing else.
    pub deadline: Duration,
    /// Dynos of one app that may boot at the same time.
    pub boot_parallel: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            boot_timeout: BOOT_TIMEOUT,
            release_timeout: Duration::from_secs(3600),
            drain_timeout: STOP_GRACE,
            steady_after: Duration::from_secs(600),
            attach_timeout: Duration::from_secs(60),
            settle: Duration::from_secs(5),
            deadline: Duration::from_secs(600),
            boot_parallel: 8,
        }
    }
}

/// What one app should be.
#[derive(Debug, Clone)]
pub struct Desired {
    pub app: AppId,
    pub current: Spec,
    pub candidate: Option<Spec>,
    /// Since when there is this candidate.
    pub candidate_since: Timestamp,
    pub formation: Vec<Wanted>,
    /// Of process types that the formation does not name.
    pub usual_size: DynoSize,
    pub settings: AppDynoSettings,
    /// How deep it sleeps.
    pub sleep: Option<SleepTier>,
}

impl Desired {
    /// What a dyno is asked; nothing of one-offs, and of releases that go.
    pub(crate) fn check(&self, dyno: &Dyno) -> Option<&Check> {
        let specs = std::iter::once(&self.current).chain(&self.candidate);
        let spec = specs
            .filter(|_| !dyno.one_off)
            .find(|spec| spec.version == dyno.release_version)?;
        spec.checks.get(&dyno.name.process_type)
    }
}

/// What a release runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    pub version: u32,
    /// Empty before anything was deployed.
    pub commands: BTreeMap<ProcessType, String>,
    /// What dynos are asked before requests go to them, and after.
    pub checks: BTreeMap<ProcessType, Check>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub process_type: ProcessType,
    pub quantity: u32,
    pub size: DynoSize,
}

/// What is done at once, and what has to wait until all apps have had their turn: places to start in are few, and after a
/// reboot of the host everything wants one. Requests wait for web dynos; nobody waits for the others.
pub(crate) fn web_first(actions: Vec<Action>, seen: &[Seen]) -> (Vec<Action>, Vec<Action>) {
    actions.into_iter().partition(|action| match action {
        Action::Create(create) | Action::Replace { create, .. } => {
            create.name.process_type.is_web()
        }
        Action::Launch { dyno } => {
            let one = seen.iter().find(|one| one.dyno.id == *dyno);
            one.is_none_or(|one| is_web(&one.dyno))
        }
        _ => true,
    })
}

/// One dyno as it is seen.
#[derive(Debug, Clone)]
pub struct Seen {
    pub dyno: Dyno,
    pub seat: Seat,
    /// Its container ended with the host or the engine, and not by itself.
    pub lost: bool,
    /// What it answered to its check, if it has one.
    pub tally: Tally,
    /// What it has written.
    pub written: Used,
    /// What is bound in its network namespace.
    pub listening: Vec<SocketAddr>,
    /// No request is in flight to it and none can come any more.
    pub drained: bool,
    /// This run of the server has frozen it.
    pub frozen: bool,
    /// An action on it is still being carried out.
    pub busy: bool,
}

/// The container of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    Absent,
    /// Made but not started.
    Made,
    Running {
        since: Timestamp,
    },
    Ended {
        exit: Exit,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A new dyno: its row, then its container.
    Create(Create),
    /// A new dyno in place of one whose container is gone: no look sees both rows, or none.
    Replace { dyno: DynoId, create: Create },
    /// The container for a row that has none.
    Launch { dyno: DynoId },
    /// Enter a state.
    Mark {
        dyno: DynoId,
        state: DynoState,
        reason: Option<String>,
        crashes: u32,
        /// Of a one-off that ended by itself.
        exit: Option<Exit>,
    },
    /// It ran as long as it may: its successor takes its place as in a restart.
    Cycle { dyno: DynoId },
    /// Its processes stop where they are.
    Freeze { dyno: DynoId },
    /// They go on.
    Thaw { dyno: DynoId },
    /// SIGTERM, grace, SIGKILL, then container and row go.
    Stop { dyno: DynoId },
    /// The same for an attached one-off, which its terminal holds.
    Interrupt { dyno: DynoId },
    /// The container goes at once, the row stays.
    Clear { dyno: DynoId },
    /// Container (already ended, or never there) and row go.
    Discard { dyno: DynoId },
    /// The candidate passed.
    Promote { app: AppId, version: u32 },
    /// The candidate did not.
    Fail {
        app: AppId,
        version: u32,
        reason: String,
        /// Whose last lines tell more.
        dyno: Option<DynoId>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    pub app: AppId,
    pub name: DynoName,
    pub version: u32,
    pub size: DynoSize,
    pub command: String,
    pub crashes: u32,
    pub why: Trigger,
}

/// Why a dyno is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Release,
    ReleasePhase,
    Scale,
    Replace,
    Crash,
}

/// The actions for one app, and when to look again even if nothing happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    fn push(&mut self, action: Action) {
        self.actions.push(action);
    }
}

/// Plans for one app. `seen` holds every dyno of it.
pub fn plan(desired: &Desired, seen: &[Seen], policy: &Policy, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for one in seen {
        if one.busy {
            dyno::step_busy(one, now, &mut plan);
        } else {
            dyno::step(one, desired, policy, now, &mut plan);
        }
    }
    rollout::step(desired, seen, policy, now, &mut plan);
    plan
}

/// Whether something bound there can be reached at the dyno's own address.
pub fn serves(listening: &[SocketAddr]) -> bool {
    listening
        .iter()
        .any(|addr| addr.port() == PORT && !addr.ip().is_loopback())
}

pub(crate) fn after(at: Timestamp, delay: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| at.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
