//! What a build writes into the ledger.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use ropewalk_model::{AppId, BuildId, ReleaseId, SlugId};
use ropewalk_store::{FileCheck, FileJob, NewBuild, NewRelease, NewSlug};
use serde_json::json;
use uuid::Uuid;

use super::failure::Failure;
use super::order::Order;
use super::pack::Packed;
use super::phases::Phases;
use super::process_types::ProcessTypes;
use super::recipe::Recipe;
use super::results::Results;
use crate::Result;
use crate::context::Context;
use crate::error::chain;

/// What a successful build leads to.
#[derive(Debug)]
pub(crate) struct Built<'a> {
    pub(crate) results: &'a Results,
    pub(crate) types: &'a ProcessTypes,
    /// Those of app.json.
    pub(crate) jobs: &'a [FileJob],
    pub(crate) checks: Vec<FileCheck>,
    pub(crate) packed: Packed,
}

/// The build begins.
pub(crate) async fn create(
    context: &Context,
    order: &Order,
    stack: &str,
    id: BuildId,
) -> Result<()> {
    let new = NewBuild {
        id,
        app: order.app.id,
        user: order.user.id,
        commit: order.version().map(str::to_owned),
        source: order.build_source(),
        stack: stack.to_owned(),
    };
    context
        .store
        .write(move |tx| tx.create_build(&new, Timestamp::now()))
        .await?;
    Ok(())
}

/// What was detected and reported goes to the build's row, whether it succeeded or not.
pub(crate) async fn record(context: &Context, id: BuildId, results: &Results) -> Result<()> {
    let list = results.buildpacks_json();
    let reports = json!({ "buildpacks": results.reports });
    context
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            tx.set_build_buildpacks(id, &list, now)?;
            tx.set_build_report(id, &reports, now)
        })
        .await?;
    Ok(())
}

/// Slug, release and the build's success in one transaction, which a cancelled build does not cut in two. Returns
/// the release's version.
pub(crate) async fn release(
    context: &Arc<Context>,
    order: &Order,
    recipe: &Recipe,
    build: BuildId,
    built: Built<'_>,
) -> Result<u32, Failure> {
    let slug = new_slug(order, recipe, &built);
    let (jobs, checks) = (built.jobs.to_vec(), built.checks.clone());
    let release = new_release(order, recipe, slug.id);
    let (inner, settled) = (Arc::clone(context), Arc::clone(&order.settled));
    let (app, what, who) = (recipe.app.id, order.description(), order.user.email.clone());
    let written = context.tasks.spawn(async move {
        // Before the write, for from its first byte on a client that goes away must not end the push.
        settled.store(true, Ordering::Release);
        let written = inner
            .store
            .write(move |tx| {
                let now = Timestamp::now();
                tx.create_slug(&slug, now)?;
                tx.set_slug_jobs(slug.id, &jobs)?;
                tx.set_slug_checks(slug.id, &checks)?;
                let version = tx.create_release(release, now)?.version;
                tx.succeed_build(build, slug.id, version, now)?;
                Ok(version)
            })
            .await;
        match written {
            Ok(version) => {
                // First, for what comes of the release is told by others.
                for line in [
                    format!("{what} by user {who}"),
                    format!("Release v{version} created by user {who}"),
                    "Build succeeded".to_owned(),
                ] {
                    inner.outputs.say(app, &line);
                }
                inner.releases.changed();
            }
            Err(_) => settled.store(false, Ordering::Release),
        }
        written
    });
    Ok(written.await??)
}

/// Slug and release of a test run, current at once: it has no process type, so that nothing is started of it.
pub(crate) async fn release_for_tests(
    context: &Context,
    order: &Order,
    recipe: &Recipe,
    build: BuildId,
    built: Built<'_>,
) -> Result<(), Failure> {
    let slug = new_slug(order, recipe, &built);
    let release = NewRelease {
        config: Some(recipe.config.clone()),
        ..new_release(order, recipe, slug.id)
    };
    context
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            tx.create_slug(&slug, now)?;
            let made = tx.create_release(release, now)?;
            tx.promote_candidate(made.app, made.version, now)?;
            tx.succeed_build(build, slug.id, made.version, now)
        })
        .await?;
    Ok(())
}

fn new_slug(order: &Order, recipe: &Recipe, built: &Built<'_>) -> NewSlug {
    let displays = built.results.detected.iter();
    let displays: Vec<&str> = displays.map(|(_, display)| display.as_str()).collect();
    NewSlug {
        id: SlugId(Uuid::new_v4()),
        app: recipe.app.id,
        commit: order.version().map(str::to_owned),
        digest: built.packed.digest.to_string(),
        images: built.packed.texts(),
        image_size: built.packed.size,
        process_types: built.types.commands.clone(),
        buildpack_description: (!displays.is_empty()).then(|| displays.join(", ")),
        stack: recipe.stack.name.clone(),
    }
}

fn new_release(order: &Order, recipe: &Recipe, slug: SlugId) -> NewRelease {
    NewRelease {
        id: ReleaseId(Uuid::new_v4()),
        app: recipe.app.id,
        user: order.user.id,
        description: order.description(),
        slug: Some(slug),
        config: None,
        stack: Some((recipe.stack.name.clone(), recipe.stack.version.clone())),
    }
}

/// The build failed. Of one that made its slug only the release failed; its row says succeeded and stays.
pub(crate) async fn fail(context: &Context, id: BuildId, failure: &Failure) {
    let why = failure.why();
    let written = context
        .store
        .write(move |tx| tx.fail_build(id, &why, Timestamp::now()))
        .await;
    if let Err(error) = written {
        tracing::warn!(build = %id, error = chain(&error), "Could not record a build's failure; the next start will.");
    }
}

/// Adds the milliseconds by phase to what the buildpacks reported.
pub(crate) async fn keep_times(context: &Context, app: AppId, id: BuildId, phases: &Phases) {
    let millis = phases.to_json();
    let written = context
        .store
        .write(move |tx| {
            let mut report = tx.build(app, id)?.report;
            report["phases_ms"] = millis;
            tx.set_build_report(id, &report, Timestamp::now())
        })
        .await;
    if let Err(error) = written {
        tracing::warn!(build = %id, error = chain(&error), "Could not keep a build's timings.");
    }
}
