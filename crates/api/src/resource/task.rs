//! `/ropewalk/tasks`: what the server does all the time; for `ropewalk doctor`.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::task::{Rounds, Task};
use ropewalk_telemetry::{RoundStatus, TaskState, TaskStatus};

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Platform)?;
    let tasks: Vec<Task> = state.ctx.platform.tasks().into_iter().map(task).collect();
    Ok(ok(&tasks))
}

fn task(status: TaskStatus) -> Task {
    Task {
        name: status.name.to_owned(),
        state: match status.state {
            TaskState::Running => "running",
            TaskState::BackingOff => "backing_off",
            TaskState::Finished => "finished",
        }
        .to_owned(),
        running: status.running,
        restarts: status.restarts,
        last_error: status.last_error,
        last_error_at: status.last_error_at.and_then(at),
        rounds: status.rounds.map(rounds),
    }
}

fn rounds(status: RoundStatus) -> Rounds {
    Rounds {
        count: status.count,
        within_ms: status.within_ms,
        last_at: status.last_at.and_then(at),
        last_took_ms: status.last_took_ms,
        last_error: status.last_error,
        late: status.late,
    }
}

fn at(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
