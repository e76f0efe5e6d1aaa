//! Carries plans out. Makes no choices: what fails is seen by the next pass.

use std::collections::HashMap;

use ropewalk_engine::{Container, ContainerId, Exit};
use ropewalk_model::dyno::STOP_GRACE;
use ropewalk_model::{AppId, DynoId, DynoState};
use ropewalk_store::{Dyno, NewDyno, StoreError};
use uuid::Uuid;

use crate::observe::Orphan;
use crate::plan::{Action, CHECK_FAILED, Create, DISK_FULL, LOST, OUT_OF_MEMORY, Trigger};
use crate::reconcile::Shared;
use crate::{SchedulerError, jobs, launch, observe, output, sleeper};

/// Rows are written here and now; containers are started and stopped beside the loop.
pub(crate) async fn all(
    shared: &Shared,
    actions: Vec<Action>,
    containers: &HashMap<DynoId, Container>,
) -> Result<(), SchedulerError> {
    for action in actions {
        match action {
            Action::Create(create) => create_dyno(shared, create, None).await?,
            Action::Replace { dyno, create } => create_dyno(shared, create, Some(dyno)).await?,
            Action::Launch { dyno } => launch_later(shared, dyno),
            Action::Mark {
                dyno,
                state,
                reason,
                crashes,
                exit,
            } => {
                mark(shared, dyno, state, reason, crashes, exit).await?;
            }
            Action::Cycle { dyno } => cycle(shared, dyno).await?,
            Action::Freeze { dyno } => {
                sleeper::freeze_later(shared, dyno, containers.get(&dyno).cloned());
            }
            Action::Thaw { dyno } => {
                sleeper::thaw_later(shared, dyno, containers.get(&dyno).cloned());
            }
            Action::Stop { dyno } => {
                stop_later(shared, dyno, containers.get(&dyno).map(|c| c.id.clone()))
            }
            Action::Interrupt { dyno } => shared.runs.interrupt(dyno),
            Action::Clear { dyno } => {
                clear_later(
                    shared,
                    dyno,
                    containers.get(&dyno).map(|c| c.id.clone()),
                    false,
                );
            }
            Action::Discard { dyno } => {
                clear_later(
                    shared,
                    dyno,
                    containers.get(&dyno).map(|c| c.id.clone()),
                    true,
                );
            }
            Action::Promote { app, version } => {
                let done = shared
                    .store
                    .write(move |tx| tx.promote_candidate(app, version, observe::now()))
                    .await?;
                if done {
                    tracing::info!(%app, version, "A release took over.");
                }
            }
            Action::Fail {
                app,
                version,
                reason,
                dyno,
            } => {
                fail_later(shared, app, version, reason, dyno);
            }
        }
    }
    Ok(())
}

/// Whoever hears of the failure asks for the last lines at once, so those come first.
fn fail_later(shared: &Shared, app: AppId, version: u32, reason: String, dyno: Option<DynoId>) {
    if dyno.is_some_and(|dyno| !shared.take(dyno)) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        if let Some(dyno) = dyno {
            task.readers.ended(dyno).await;
        }
        if let Err(error) = fail(&task, app, version, reason).await {
            tracing::warn!(%app, version, %error, "A release's failure could not be written yet.");
        }
        match dyno {
            Some(dyno) => task.give_back(dyno),
            None => task.wake(),
        }
    });
}

async fn fail(
    shared: &Shared,
    app: AppId,
    version: u32,
    reason: String,
) -> Result<(), SchedulerError> {
    let text = reason.clone();
    let done = shared
        .store
        .write(move |tx| tx.fail_candidate(app, version, &text, observe::now()))
        .await?;
    if done {
        tracing::info!(%app, version, reason, "A release failed.");
        output::say(
            shared,
            app,
            "release",
            &format!("Release v{version} failed: {reason}"),
        );
    }
    Ok(())
}

/// Writes the row of a new dyno, instead of that of `old` if one is given, and has it launched.
async fn create_dyno(
    shared: &Shared,
    create: Create,
    old: Option<DynoId>,
) -> Result<(), SchedulerError> {
    let standby = shared.standbys.take(create.app, &create.name, create.size);
    let id = standby.unwrap_or_else(|| DynoId(Uuid::new_v4()));
    let new = NewDyno {
        id,
        app: create.app,
        name: create.name.clone(),
        release_version: create.version,
        size: create.size,
        command: create.command.clone(),
        crashes: create.crashes,
        one_off: false,
        attached: false,
        time_to_live: None,
        env: Default::default(),
    };
    let written = shared
        .store
        .write(move |tx| match old {
            Some(old) => tx.replace_dyno(old, &new, observe::now()),
            None => tx.create_dyno(&new, observe::now()).map(|()| true),
        })
        .await?;
    if !written {
        return Ok(());
    }
    // Its container is gone already; what it wrote may still be there.
    if let Some(old) = old {
        clear_later(shared, old, None, false);
    }
    let process = create.name.to_string();
    if create.why == Trigger::Crash {
        output::say(
            shared,
            create.app,
            &process,
            "State changed from crashed to starting",
        );
    }
    output::say(
        shared,
        create.app,
        &process,
        &format!("Starting process with command `{}`", create.command),
    );
    launch_later(shared, id);
    Ok(())
}

fn launch_later(shared: &Shared, id: DynoId) {
    if !shared.take(id) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        let permit = task.parallel.acquire().await;
        if let Err(error) = launch::launch(&task, id).await {
            launch_failed(&task, id, error).await;
        }
        drop(permit);
        task.give_back(id);
    });
}

/// An engine that is away says nothing about the app: the next pass tries again. Anything else is a crash.
async fn launch_failed(shared: &Shared, id: DynoId, error: SchedulerError) {
    if error.is_passing() || matches!(error, SchedulerError::Store(StoreError::NotFound("dyno"))) {
        tracing::info!(dyno = %id, %error, "A dyno could not be started yet.");
        return;
    }
    tracing::warn!(dyno = %id, %error, "A dyno could not be started.");
    let reason = format!("could not be started: {error}");
    let outcome = shared
        .store
        .write(move |tx| {
            let Some(dyno) = tx.dyno(id)? else {
                return Ok(());
            };
            let crashes = dyno.crashes.saturating_add(1);
            tx.set_dyno_state(
                id,
                DynoState::Crashed,
                Some(&reason),
                crashes,
                observe::now(),
            )
        })
        .await;
    if let Err(error) = outcome {
        tracing::warn!(dyno = %id, %error, "A dyno's state could not be written.");
    }
}

async fn mark(
    shared: &Shared,
    id: DynoId,
    state: DynoState,
    reason: Option<String>,
    crashes: u32,
    exit: Option<Exit>,
) -> Result<(), SchedulerError> {
    let text = reason.clone();
    let before = shared
        .store
        .write(move |tx| {
            let (before, now) = (tx.dyno(id)?, observe::now());
            tx.set_dyno_state(id, state, text.as_deref(), crashes, now)?;
            if let Some(exit) = exit {
                let why = exit.out_of_memory.then_some("out of memory");
                tx.end_job_run(id, Some(exit.code), why, now)?;
            }
            Ok(before)
        })
        .await?;
    if let Some(dyno) = before {
        announce(shared, &dyno, state, reason.as_deref());
    }
    Ok(())
}

async fn cycle(shared: &Shared, id: DynoId) -> Result<(), SchedulerError> {
    let asked = shared.store.write(move |tx| tx.cycle_dyno(id)).await?;
    if let Some(dyno) = asked {
        output::say(shared, dyno.app, &dyno.name.to_string(), "Cycling");
    }
    Ok(())
}

/// The lines that Heroku's users know.
fn announce(shared: &Shared, dyno: &Dyno, state: DynoState, reason: Option<&str>) {
    let process = dyno.name.to_string();
    let say = |text: &str| output::say(shared, dyno.app, &process, text);
    match (state, reason) {
        (DynoState::Crashed, Some(reason)) if reason.starts_with("Error R10") => {
            say(reason);
            say("Stopping process with SIGKILL");
        }
        (DynoState::Crashed, Some(reason)) if reason.starts_with(CHECK_FAILED) => {
            say(&format!("Health {reason}"));
            say("Stopping process with SIGKILL");
        }
        (DynoState::Crashed, Some(reason)) if reason.starts_with(DISK_FULL) => {
            say(&format!("Error: {reason}"));
            say("Stopping process with SIGKILL");
        }
        (DynoState::Crashed, Some(reason)) => match reason.strip_prefix("exit ") {
            Some(status) => say_end(&say, status),
            None => say(&format!("Process ended: {reason}")),
        },
        (DynoState::Down, Some("passed")) => say("Process exited with status 0"),
        (DynoState::Down, Some(reason)) if reason.starts_with("exit ") => {
            say_end(&say, &reason[5..]);
        }
        (DynoState::Down, Some(LOST)) => say(&format!("Process ended: {LOST}")),
        (DynoState::Down, Some(reason)) => tracing::debug!(dyno = %dyno.id, reason, "A dyno goes."),
        _ => {}
    }
    if state != dyno.state {
        say(&format!(
            "State changed from {} to {}",
            dyno.state.as_str(),
            state.as_str()
        ));
    }
}

/// `status` as in [`crate::plan::exit_text`].
fn say_end(say: &impl Fn(&str), status: &str) {
    let code = status.strip_suffix(OUT_OF_MEMORY);
    if code.is_some() {
        say("Error R15 (Memory quota vastly exceeded)");
    }
    say(&format!(
        "Process exited with status {}",
        code.unwrap_or(status)
    ));
}

fn stop_later(shared: &Shared, id: DynoId, container: Option<ContainerId>) {
    if !shared.take(id) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        if let Err(error) = stop(&task, id, container).await {
            tracing::info!(dyno = %id, %error, "A dyno could not be stopped yet.");
        }
        task.give_back(id);
    });
}

async fn stop(
    shared: &Shared,
    id: DynoId,
    container: Option<ContainerId>,
) -> Result<(), SchedulerError> {
    if let Some(container) = &container {
        let exit = end_process(shared, id, container).await?;
        shared
            .store
            .write(move |tx| {
                let reason = tx.dyno(id)?.and_then(|dyno| dyno.reason);
                tx.end_job_run(id, Some(exit.code), reason.as_deref(), observe::now())
            })
            .await?;
    }
    clear(shared, id, container, true).await
}

/// SIGTERM, grace, SIGKILL, told in the app's log while there is an app.
pub(crate) async fn end_process(
    shared: &Shared,
    id: DynoId,
    container: &ContainerId,
) -> Result<Exit, SchedulerError> {
    let (dyno, grace) = shared
        .store
        .read(move |view| {
            let Some(dyno) = view.dyno(id)? else {
                return Ok((None, STOP_GRACE));
            };
            let settings = view.dyno_settings(dyno.app)?;
            let grace = settings.stop_grace(&dyno.name.process_type);
            Ok((Some(dyno), grace))
        })
        .await?;
    let say = |text: &str| {
        if let Some(dyno) = &dyno {
            output::say(shared, dyno.app, &dyno.name.to_string(), text);
        }
    };
    say("Stopping all processes with SIGTERM");
    let stopped = shared.engine.stop(container, grace).await?;
    if stopped.killed {
        let seconds = grace.as_secs();
        say(&format!(
            "Error R12 (Exit timeout) -> At least one process failed to exit within {seconds} seconds of SIGTERM"
        ));
        say("Stopping remaining processes with SIGKILL");
    }
    say(&format!("Process exited with status {}", stopped.exit.code));
    Ok(stopped.exit)
}

fn clear_later(shared: &Shared, id: DynoId, container: Option<ContainerId>, row: bool) {
    if !shared.take(id) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        if let Err(error) = clear(&task, id, container, row).await {
            tracing::info!(dyno = %id, %error, "A dyno could not be removed yet.");
        }
        task.give_back(id);
    });
}

/// Container, then its disk, then (if it is to go) its row: a step that fails leaves what comes after it, and the
/// next pass begins again.
async fn clear(
    shared: &Shared,
    id: DynoId,
    container: Option<ContainerId>,
    row: bool,
) -> Result<(), SchedulerError> {
    if let Some(container) = container {
        // Kill first: a reader ends by itself when the container has, with the last line read.
        shared.engine.signal(&container, "KILL").await?;
        shared.readers.end(id).await;
        shared.engine.remove(&container).await?;
    }
    shared.mounts.remove_overlay(id).await?;
    if row {
        shared
            .store
            .write(move |tx| {
                // Of a run of which nothing is known yet this is its end.
                let reason = tx.dyno(id)?.and_then(|dyno| dyno.reason);
                let reason = reason.as_deref().unwrap_or(jobs::GONE);
                tx.end_job_run(id, None, Some(reason), observe::now())?;
                tx.delete_dyno(id)
            })
            .await?;
    }
    Ok(())
}

/// A container without a row: its app was deleted, or the ledger went back in time.
pub(crate) fn remove_orphan(shared: &Shared, orphan: Orphan) {
    let Orphan { container, dyno } = orphan;
    if dyno.is_some_and(|dyno| !shared.take(dyno)) {
        return;
    }
    let task = shared.clone();
    shared.spawn(async move {
        let removed = async {
            task.engine.remove(&container).await?;
            if let Some(dyno) = dyno {
                task.mounts.remove_overlay(dyno).await?;
            }
            Ok::<_, SchedulerError>(())
        };
        if let Err(error) = removed.await {
            tracing::info!(%container, %error, "A container without a dyno could not be removed yet.");
        }
        if let Some(dyno) = dyno {
            task.give_back(dyno);
        }
    });
}
