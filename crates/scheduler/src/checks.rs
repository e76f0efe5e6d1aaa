//! Asks dynos whether they are well, as their app's files say: over HTTP, over TCP, or by a command inside them.
//!
//! Each dyno that is to be asked has a task of its own; what its answers came to is read by the next look, and what
//! follows from it is decided there. Nothing that a dyno answers is kept but its status: a question takes no longer, and
//! an answer is read no further, than its limit. What the engine or this host could not ask says nothing about a dyno.

mod ask;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use ropewalk_api_types::router::DynoProtocol;
use ropewalk_engine::{Container, ContainerId, Status};
use ropewalk_model::check::{Check, Probe, Tally};
use ropewalk_model::{DynoId, DynoState};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::observe::{AppWorld, World};
use crate::plan::{Seat, Seen, is_web};
use crate::reconcile::Shared;

/// Questions over the network at the same time.
const PARALLEL: usize = 64;
/// Commands at the same time, each of which costs the engine more.
const PARALLEL_COMMANDS: usize = 8;
/// Between two questions of a dyno that boots, for it is what everybody waits for.
const BOOTING: Duration = Duration::from_millis(250);
const BOOTING_COMMAND: Duration = Duration::from_secs(1);

/// The dynos that are asked.
#[derive(Debug)]
pub(crate) struct Checks {
    runners: Mutex<HashMap<DynoId, Runner>>,
    network: Semaphore,
    commands: Semaphore,
}

#[derive(Debug)]
struct Runner {
    target: Target,
    known: Arc<Known>,
    /// Ends its task.
    _stop: DropGuard,
}

#[derive(Debug)]
struct Known {
    tally: Mutex<Tally>,
    booting: AtomicBool,
}

/// Who is asked, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    dyno: DynoId,
    container: ContainerId,
    ip: IpAddr,
    /// The name by which its app is known, for those that answer to no other.
    host: String,
    protocol: DynoProtocol,
    check: Check,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            runners: Mutex::default(),
            network: Semaphore::new(PARALLEL),
            commands: Semaphore::new(PARALLEL_COMMANDS),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checks {
    /// What a dyno's answers came to; nothing of one that is not asked.
    pub(crate) fn tally(&self, dyno: DynoId) -> Tally {
        let runners = lock(&self.runners);
        let known = runners.get(&dyno).map(|runner| Arc::clone(&runner.known));
        drop(runners);
        known.map_or_else(Tally::default, |known| lock(&known.tally).clone())
    }

    fn places(&self, probe: &Probe) -> &Semaphore {
        match probe {
            Probe::Http { .. } | Probe::Tcp { .. } => &self.network,
            Probe::Command(_) => &self.commands,
        }
    }
}

/// From now on these are asked that a look saw and that have a check, and no others.
pub(crate) fn keep(shared: &Shared, world: &World) {
    let mut asked: HashSet<DynoId> = HashSet::new();
    let mut runners = lock(&shared.checks.runners);
    for app in &world.apps {
        for one in &app.seen {
            let Some(container) = world.containers.get(&one.dyno.id) else {
                continue;
            };
            let host = shared.routes.host(&app.app.name);
            let Some(target) = target(app, one, container, host) else {
                continue;
            };
            asked.insert(target.dyno);
            let booting = one.dyno.state == DynoState::Starting;
            match runners.get(&target.dyno) {
                Some(runner) if runner.target == target => {
                    runner.known.booting.store(booting, Ordering::Relaxed);
                }
                _ => {
                    runners.insert(target.dyno, begin(shared, target, booting));
                }
            }
        }
    }
    runners.retain(|dyno, _| asked.contains(dyno));
}

/// `None` of one that is not to be asked: it has no check, or it does not run. One that sleeps is not woken by it.
fn target(app: &AppWorld, one: &Seen, container: &Container, host: String) -> Option<Target> {
    let check = app.desired.check(&one.dyno)?;
    let wanted = match one.dyno.state {
        DynoState::Starting => true,
        DynoState::Up => check.liveness,
        DynoState::Idle | DynoState::Crashed | DynoState::Down => false,
    };
    let runs = container.status == Status::Running && matches!(one.seat, Seat::Running { .. });
    let protocol = match is_web(&one.dyno) {
        true => app.protocol,
        false => DynoProtocol::Http1,
    };
    (wanted && runs).then_some(Target {
        dyno: one.dyno.id,
        container: container.id.clone(),
        ip: container.ip?,
        host,
        protocol,
        check: check.clone(),
    })
}

fn begin(shared: &Shared, target: Target, booting: bool) -> Runner {
    let stop = CancellationToken::new();
    let known = Arc::new(Known {
        tally: Mutex::default(),
        booting: AtomicBool::new(booting),
    });
    let task = run(
        shared.clone(),
        target.clone(),
        Arc::clone(&known),
        stop.clone(),
    );
    shared.spawn(task);
    Runner {
        target,
        known,
        _stop: stop.drop_guard(),
    }
}

async fn run(shared: Shared, target: Target, known: Arc<Known>, stop: CancellationToken) {
    let check = &target.check;
    // Those that were up before the server began are not all asked at once.
    let mut wait = match known.booting.load(Ordering::Relaxed) {
        true => Duration::ZERO,
        false => check.interval.mul_f64(rand::rng().random_range(0.0..1.0)),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let answer = {
            let place = shared.checks.places(&check.probe).acquire().await;
            let answer = ask::ask(&shared, &target).await;
            drop(place);
            answer
        };
        if stop.is_cancelled() {
            return;
        }
        let booting = known.booting.load(Ordering::Relaxed);
        let mut tally = lock(&known.tally);
        // Bad answers before the first good one are those of a boot.
        if let Some(answer) = answer
            && tally.hear(answer, check)
        {
            shared.wake();
        }
        wait = match (booting && !tally.ready, &check.probe) {
            (false, _) => check.interval,
            (true, Probe::Command(_)) => check.interval.min(BOOTING_COMMAND),
            (true, _) => check.interval.min(BOOTING),
        };
    }
}
