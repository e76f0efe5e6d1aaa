//! One dyno's next step: its state and its container, seen together.

use std::net::SocketAddr;

use std::time::Duration;

use jiff::Timestamp;
use ropewalk_engine::Exit;
use ropewalk_model::dyno::PORT;
use ropewalk_model::{DynoState, SleepTier};
use ropewalk_store::{Dyno, Retire};

use crate::disk::is_over;

use super::{Action, Desired, Plan, Policy, Seat, Seen, after, serves};

/// What follows the status of one that the kernel ended for want of memory.
pub(crate) const OUT_OF_MEMORY: &str = ", out of memory";

/// How reasons begin of one that ended for what it answered; see [`ropewalk_model::check::Tally::why`].
pub(crate) const CHECK_FAILED: &str = "check failed: ";

/// How reasons begin of one that wrote more than its size may.
pub(crate) const DISK_FULL: &str = "disk quota exceeded: ";

/// Why a dyno ended that did not end by itself.
pub(crate) const LOST: &str = "the host or its engine was restarted";

pub(super) fn step(
    one: &Seen,
    desired: &Desired,
    policy: &Policy,
    now: Timestamp,
    plan: &mut Plan,
) {
    let dyno = &one.dyno;
    if dyno.retire == Some(Retire::Stop) && dyno.state != DynoState::Down {
        return plan.push(mark(dyno, DynoState::Down, "stopped on request"));
    }
    if let Some(why) = is_full(one) {
        return plan.push(crash(dyno, &why, policy, now));
    }
    match (dyno.state, one.seat) {
        (DynoState::Starting, Seat::Absent) if dyno.attached => {
            let until = after(dyno.created_at, policy.attach_timeout);
            if now >= until {
                plan.push(Action::Discard { dyno: dyno.id });
            } else {
                plan.wake(until);
            }
        }
        // Whoever attached to it is starting it.
        (DynoState::Starting, Seat::Made) if dyno.attached => {}
        (DynoState::Starting, Seat::Absent | Seat::Made) => {
            plan.push(Action::Launch { dyno: dyno.id })
        }
        (DynoState::Starting, Seat::Running { since }) => {
            starting(one, since, desired, policy, now, plan);
        }
        (DynoState::Starting | DynoState::Up | DynoState::Idle, Seat::Ended { exit }) => {
            ended(one, exit, policy, now, plan);
        }
        (DynoState::Up | DynoState::Idle, Seat::Absent | Seat::Made) => {
            plan.push(crash(dyno, "its container is gone", policy, now));
        }
        (DynoState::Up | DynoState::Idle, Seat::Running { since }) => {
            if dyno.name.process_type.as_str() == "release" {
                release_deadline(dyno, since, policy, now, plan);
            } else if has_expired(one, now, plan) {
                plan.push(mark(dyno, DynoState::Down, "its time to live is over"));
            } else if let Some(action) = rest(one, desired) {
                plan.push(action);
            } else if let Some(why) = is_ill(one, desired) {
                plan.push(crash(dyno, &why, policy, now));
            } else {
                cycle(dyno, since, desired, now, plan);
            }
        }
        (DynoState::Crashed, Seat::Absent) => {
            if !is_formation(dyno) && !is_phase_of_candidate(dyno, desired) {
                plan.push(Action::Discard { dyno: dyno.id });
            }
        }
        (DynoState::Crashed, _) => plan.push(Action::Clear { dyno: dyno.id }),
        (DynoState::Down, Seat::Running { .. }) => {
            let settings = desired.settings.of(&dyno.name.process_type);
            let drain = settings.drain.or(settings.stop_grace);
            let until = after(dyno.updated_at, drain.unwrap_or(policy.drain_timeout));
            if one.drained || now >= until {
                plan.push(Action::Stop { dyno: dyno.id });
            } else {
                plan.wake(until);
            }
        }
        // A release command that passed is remembered for as long as its release is the candidate.
        (DynoState::Down, seat) if is_phase_of_candidate(dyno, desired) => {
            if seat != Seat::Absent {
                plan.push(Action::Clear { dyno: dyno.id });
            }
        }
        (DynoState::Down, _) => plan.push(Action::Discard { dyno: dyno.id }),
    }
}

/// Of a dyno that is held, all that can be asked is its end, and only of one that its terminal holds.
pub(super) fn step_busy(one: &Seen, now: Timestamp, plan: &mut Plan) {
    let dyno = &one.dyno;
    let must_end = dyno.retire == Some(Retire::Stop) || is_full(one).is_some();
    if dyno.attached && (must_end || has_expired(one, now, plan)) {
        plan.push(Action::Interrupt { dyno: dyno.id });
    }
}

/// Whether a one-off has run as long as it may; if not, looks again when it has.
fn has_expired(one: &Seen, now: Timestamp, plan: &mut Plan) -> bool {
    let (Some(seconds), Seat::Running { since }) = (one.dyno.time_to_live, one.seat) else {
        return false;
    };
    let until = after(since, Duration::from_secs(seconds.into()));
    if now < until {
        plan.wake(until);
    }
    now >= until
}

/// One whose app sleeps is frozen once no request can come to it any more; one that was, and is to run, is thawed.
fn rest(one: &Seen, desired: &Desired) -> Option<Action> {
    let dyno = one.dyno.id;
    let frozen = desired.tier_of(&one.dyno.name.process_type) == Some(SleepTier::Frozen)
        && is_formation(&one.dyno);
    match one.dyno.state {
        DynoState::Up if frozen && one.drained && one.dyno.retire.is_none() => {
            Some(Action::Freeze { dyno })
        }
        DynoState::Idle if !frozen => Some(Action::Thaw { dyno }),
        DynoState::Up if !frozen && one.frozen => Some(Action::Thaw { dyno }),
        // An earlier run of the server did, and may have begun to wake it.
        DynoState::Idle if !one.frozen && one.drained => Some(Action::Freeze { dyno }),
        _ => None,
    }
}

/// Why a dyno that runs has to end at once, when it has written more than its size may: gently it would write on.
fn is_full(one: &Seen) -> Option<String> {
    let runs = matches!(one.seat, Seat::Running { .. }) && one.dyno.state != DynoState::Down;
    let size = &one.dyno.size;
    if !runs || one.dyno.state == DynoState::Crashed || !is_over(one.written, size.disk_mib) {
        return None;
    }
    let what = match one.written.beyond {
        true => "it made more files, or folders below one another, than are counted".to_owned(),
        false => format!("it wrote {} MiB", one.written.bytes >> 20),
    };
    Some(format!(
        "{DISK_FULL}{what}, and a {} may write {} MiB",
        size.name, size.disk_mib
    ))
}

/// Why a dyno that is up has to end, when its check says so. One that sleeps is not asked.
fn is_ill(one: &Seen, desired: &Desired) -> Option<String> {
    let check = desired.check(&one.dyno)?;
    let failing = one.dyno.state == DynoState::Up && one.tally.is_failing(check);
    failing.then(|| one.tally.why(check))
}

/// A dyno that ran as long as its app lets one, and up to 15 % longer, by its id: those that started together do not all
/// go together. Not while a release is under way, whose dynos would be others anyway.
fn cycle(dyno: &Dyno, since: Timestamp, desired: &Desired, now: Timestamp, plan: &mut Plan) {
    let settings = desired.settings.of(&dyno.name.process_type);
    let Some(longest) = settings
        .cycle
        .filter(|_| is_formation(dyno) && dyno.retire.is_none())
        .filter(|_| desired.candidate.is_none() && desired.sleep.is_none())
    else {
        return;
    };
    let share = u32::from(dyno.id.0.as_bytes()[15]) % 16;
    let until = after(since, longest + longest * share / 100);
    if now >= until {
        plan.push(Action::Cycle { dyno: dyno.id });
    } else {
        plan.wake(until);
    }
}

fn starting(
    one: &Seen,
    since: Timestamp,
    desired: &Desired,
    policy: &Policy,
    now: Timestamp,
    plan: &mut Plan,
) {
    let dyno = &one.dyno;
    let check = desired.check(dyno);
    let is_bound = !is_web(dyno) || serves(&one.listening);
    if is_bound && (check.is_none() || one.tally.ready) {
        return plan.push(Action::Mark {
            dyno: dyno.id,
            state: DynoState::Up,
            reason: None,
            crashes: dyno.crashes,
            exit: None,
        });
    }
    let settings = desired.settings.of(&dyno.name.process_type);
    let grace = check.and_then(|check| check.grace);
    let boot_timeout = grace
        .or(settings.boot_timeout)
        .unwrap_or(policy.boot_timeout);
    let until = after(since, boot_timeout);
    if now >= until {
        let seconds = boot_timeout.as_secs();
        let reason = match check {
            Some(check) if is_bound => {
                let why = one.tally.why(check);
                format!("{why}; it did not pass within {seconds} seconds of launch")
            }
            _ => boot_timeout_text(seconds, &one.listening),
        };
        plan.push(crash(dyno, &reason, policy, now));
    } else {
        plan.wake(until);
    }
}

/// `R10`, and what was bound instead, for that is what one wants to know.
fn boot_timeout_text(seconds: u64, listening: &[SocketAddr]) -> String {
    let head = format!(
        "Error R10 (Boot timeout) -> Web process failed to bind to $PORT ({PORT}) within {seconds} seconds of launch"
    );
    if listening.is_empty() {
        return format!("{head}; it listens on no port");
    }
    let bound: Vec<String> = listening.iter().map(ToString::to_string).collect();
    let hint = match listening.iter().any(|addr| addr.port() == PORT) {
        true => "; listen on 0.0.0.0 instead of 127.0.0.1",
        false => "",
    };
    format!("{head}; it listens on {} instead{hint}", bound.join(", "))
}

/// Of one that was lost nothing is known but that it did not end by itself: another takes its place at once. A release
/// command is not run twice, for it may have done half of its work.
fn ended(one: &Seen, exit: Exit, policy: &Policy, now: Timestamp, plan: &mut Plan) {
    let dyno = &one.dyno;
    match dyno.name.process_type.as_str() {
        "release" if exit.code == 0 => plan.push(mark(dyno, DynoState::Down, "passed")),
        "release" if one.lost => plan.push(crash(dyno, LOST, policy, now)),
        _ if one.lost => plan.push(mark(dyno, DynoState::Down, LOST)),
        _ if dyno.one_off => plan.push(Action::Mark {
            dyno: dyno.id,
            state: DynoState::Down,
            reason: Some(exit_text(exit)),
            crashes: dyno.crashes,
            exit: Some(exit),
        }),
        _ => plan.push(crash(dyno, &exit_text(exit), policy, now)),
    }
}

/// `exit 137, out of memory`.
pub(super) fn exit_text(exit: Exit) -> String {
    let memory = if exit.out_of_memory {
        OUT_OF_MEMORY
    } else {
        ""
    };
    format!("exit {}{memory}", exit.code)
}

fn release_deadline(
    dyno: &Dyno,
    since: Timestamp,
    policy: &Policy,
    now: Timestamp,
    plan: &mut Plan,
) {
    let until = after(since, policy.release_timeout);
    if now >= until {
        let minutes = policy.release_timeout.as_secs() / 60;
        plan.push(crash(
            dyno,
            &format!("still running after {minutes} minutes"),
            policy,
            now,
        ));
    } else {
        plan.wake(until);
    }
}

fn mark(dyno: &Dyno, state: DynoState, reason: &str) -> Action {
    Action::Mark {
        dyno: dyno.id,
        state,
        reason: Some(reason.to_owned()),
        crashes: dyno.crashes,
        exit: None,
    }
}

fn crash(dyno: &Dyno, reason: &str, policy: &Policy, now: Timestamp) -> Action {
    let steady = dyno.state == DynoState::Up && now >= after(dyno.updated_at, policy.steady_after);
    Action::Mark {
        dyno: dyno.id,
        state: DynoState::Crashed,
        reason: Some(reason.to_owned()),
        crashes: if steady {
            1
        } else {
            dyno.crashes.saturating_add(1)
        },
        exit: None,
    }
}

pub(super) fn is_formation(dyno: &Dyno) -> bool {
    !dyno.one_off && !dyno.name.process_type.is_one_off()
}

/// One that is to get requests. A one-off of the type gets none, whatever it listens on.
pub(crate) fn is_web(dyno: &Dyno) -> bool {
    !dyno.one_off && dyno.name.process_type.is_web()
}

fn is_phase_of_candidate(dyno: &Dyno, desired: &Desired) -> bool {
    dyno.name.process_type.as_str() == "release"
        && desired
            .candidate
            .as_ref()
            .is_some_and(|spec| spec.version == dyno.release_version)
}
