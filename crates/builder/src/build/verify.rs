//! From the release's row to the dynos that serve it: told as it happens, to the end.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ropewalk_model::AppId;
use ropewalk_model::release::ReleaseStatus;
use ropewalk_store::Release;

use super::failure::Failure;
use super::log::{BuildLog, Lines};
use super::phases::Phases;
use crate::context::Context;
use crate::{ReleaseEvent, ReleaseOutcome, ReleasePhase, Result};

/// Lines of a failed dyno's log that are shown.
const TAIL: usize = 40;

/// Follows a release, and the ones that overtake it with the same slug. Returns the version that took effect.
pub(crate) async fn follow(
    context: &Context,
    app: AppId,
    version: u32,
    log: &mut BuildLog,
    phases: &mut Phases,
) -> Result<u32, Failure> {
    let deadline = Instant::now() + context.options.limits.release;
    let mut version = version;
    loop {
        match outcome(context, app, version, deadline, log, phases).await? {
            ReleaseOutcome::Succeeded => return Ok(version),
            ReleaseOutcome::Failed { reason, log_tail } => {
                return Err(told(context, app, version, &reason, log_tail, log).await?);
            }
            ReleaseOutcome::Superseded { by } => {
                let same = carries_on(context, app, version, by).await?;
                if !same {
                    return Err(Failure::Release(vec![format!(
                        "Release v{version} was overtaken by v{by} before it could take effect."
                    )]));
                }
                log.detail(&format!(
                    "Release v{by} took the place of v{version} and carries the same code."
                ))
                .await;
                version = by;
            }
        }
    }
}

/// Tells what happens until the release's end is known.
async fn outcome(
    context: &Context,
    app: AppId,
    version: u32,
    deadline: Instant,
    log: &mut BuildLog,
    phases: &mut Phases,
) -> Result<ReleaseOutcome, Failure> {
    let mut events = context.releases.follow(app, version);
    let mut lines = Lines::default();
    let mut phase: Option<ReleasePhase> = None;
    let mut commanded = false;
    loop {
        let event = tokio::time::timeout_at(deadline.into(), events.next())
            .await
            .ok()
            .flatten();
        match event {
            Some(ReleaseEvent::Phase(next)) => {
                // What went on before the first phase is the release's own time.
                phases.end(phase.map_or("release", ReleasePhase::name));
                phase = Some(next);
            }
            Some(ReleaseEvent::Output(bytes)) => {
                if !commanded {
                    commanded = true;
                    log.line("\nRunning release command...\n").await;
                }
                log.foreign(lines.push(&bytes)).await;
            }
            Some(ReleaseEvent::Line(text)) => log.detail(&text).await,
            Some(ReleaseEvent::Done(outcome)) => {
                log.foreign(lines.finish()).await;
                phases.end(phase.map_or("release", ReleasePhase::name));
                return Ok(outcome);
            }
            None => return look_up(context, app, version).await,
        }
    }
}

/// Nobody tells any more: the ledger knows what became of it.
async fn look_up(context: &Context, app: AppId, version: u32) -> Result<ReleaseOutcome, Failure> {
    let (release, head) = context
        .store
        .read(move |view| {
            Ok((
                view.release(app, version)?,
                view.head_release(&view.app(app)?)?,
            ))
        })
        .await?;
    let failed = |reason: String| ReleaseOutcome::Failed {
        reason,
        log_tail: Vec::new(),
    };
    Ok(match release.status {
        ReleaseStatus::Succeeded => ReleaseOutcome::Succeeded,
        ReleaseStatus::Expired if head.version > version => {
            ReleaseOutcome::Superseded { by: head.version }
        }
        ReleaseStatus::Expired => failed("It was overtaken by another release.".to_owned()),
        ReleaseStatus::Failed => failed(release.failure.unwrap_or_else(|| "It failed.".to_owned())),
        ReleaseStatus::Pending => failed(format!(
            "It has not taken effect after {} minutes. See: ropewalk releases",
            context.options.limits.release.as_secs() / 60
        )),
    })
}

/// Whether the newer release runs the slug of the older, as after a change of config vars; not after a rollback.
async fn carries_on(context: &Context, app: AppId, version: u32, by: u32) -> Result<bool> {
    let both = move |view: &ropewalk_store::View<'_>| -> Result<(Release, Release), ropewalk_store::StoreError> {
        Ok((view.release(app, version)?, view.release(app, by)?))
    };
    let (old, new) = context.store.read(both).await?;
    Ok(new.slug == old.slug && by > version)
}

/// Prints the end of the failed dyno's log; the failure says the rest.
async fn told(
    context: &Context,
    app: AppId,
    version: u32,
    reason: &str,
    log_tail: Vec<String>,
    log: &mut BuildLog,
) -> Result<Failure> {
    log.line("\nVerifying deploy... failed.").await;
    if !log_tail.is_empty() {
        log.line("").await;
        let skip = log_tail.len().saturating_sub(TAIL);
        let lines = log_tail.into_iter().skip(skip);
        log.foreign(
            lines
                .map(|line| format!("       {line}").into_bytes())
                .collect(),
        )
        .await;
    }
    let current = context
        .store
        .read(move |view| view.current_release(&view.app(app)?))
        .await?;
    let mut lines: Vec<String> = reason.lines().map(str::to_owned).collect();
    lines.push(match current.slug {
        Some(_) => format!(
            "Push rejected: release v{version} failed; v{} keeps serving.",
            current.version
        ),
        None => format!("Push rejected: release v{version} failed."),
    });
    Ok(Failure::Release(lines))
}

/// Time in the build's log.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
