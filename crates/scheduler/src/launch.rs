//! From a dyno's row to its container: slug mounted, overlay made, container made.

use std::collections::BTreeMap;

use ropewalk_engine::{
    ContainerId, ContainerSpec, EngineError, ImageIds, Limits, Mount, Status, Tmpfs,
};
use ropewalk_model::dyno::DYNO_UID;
use ropewalk_model::{AppId, ConfigVars, DynoId, DynoName, DynoSize};
use ropewalk_slug::Digest;
use ropewalk_store::{App, Dyno, Release, Slug, StoreError};

use crate::environment::{Facts, variables};
use crate::output::{self, Start};
use crate::reconcile::Shared;
use crate::{SchedulerError, jobs, standby};

/// Labels by which a container is known as a dyno.
pub(crate) const LABEL_KIND: &str = "ropewalk.kind";
pub(crate) const KIND_DYNO: &str = "dyno";
pub(crate) const LABEL_DYNO: &str = "ropewalk.dyno";
const LABEL_APP: &str = "ropewalk.app";
const LABEL_NAME: &str = "ropewalk.name";

/// Runs a command line with the app's profile; part of every stack.
pub(crate) const LAUNCHER: &str = "/usr/lib/ropewalk/launch";

/// What the engine calls the container of a dyno.
pub(crate) fn container_name(shared: &Shared, id: DynoId) -> String {
    format!("rw-{}-{id}", shared.config.instance)
}

/// Everything a container is made from.
struct Recipe {
    app: App,
    dyno: Dyno,
    release: Release,
    slug: Slug,
    config: ConfigVars,
    extra: BTreeMap<String, String>,
    image: ImageIds,
    /// A TCP route leads to it.
    routed: bool,
}

/// How a container's input and output are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// Output to the log, no input.
    None,
    /// Attached, with or without a tty.
    Attached { tty: bool },
}

/// Makes the container of a dyno, without starting it. One left over by an earlier, interrupted try is replaced.
pub(crate) async fn make(
    shared: &Shared,
    id: DynoId,
    terminal: Terminal,
) -> Result<ContainerId, SchedulerError> {
    let spec = prepare(shared, id, terminal).await?;
    match shared.engine.create(&spec).await {
        Err(EngineError::Conflict { .. }) => replace(shared, &spec).await,
        other => Ok(other?),
    }
}

/// Makes and starts the container of a dyno whose output goes to the log. One that was started before, by a call
/// whose answer nobody heard, is the dyno's: its command must not run twice.
pub(crate) async fn launch(shared: &Shared, id: DynoId) -> Result<(), SchedulerError> {
    let spec = prepare(shared, id, Terminal::None).await?;
    if let Some(container) = standby::become_dyno(shared, id, &spec).await {
        output::follow(shared, id, &container, Start::Beginning);
        return Ok(());
    }
    let (container, is_new) = match shared.engine.create(&spec).await {
        Err(EngineError::Conflict { .. }) => {
            let found = shared
                .engine
                .inspect(&ContainerId(spec.name.clone()))
                .await?;
            match found {
                Some(found) if was_started(found.status) => {
                    output::follow(shared, id, &found.id, Start::Resume);
                    return Ok(());
                }
                found => {
                    let is_new = found.is_none_or(|found| found.status != Status::Created);
                    (replace(shared, &spec).await?, is_new)
                }
            }
        }
        other => (other?, true),
    };
    // Of a job's dyno that was started there is a container, or it has run: its command must not run twice.
    if jobs::note_launch(shared, id).await? && is_new {
        return Err(missing(
            id,
            "its container, which was started before,".to_owned(),
        ));
    }
    shared.engine.start(&container).await?;
    output::follow(shared, id, &container, Start::Beginning);
    Ok(())
}

fn was_started(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Exited)
}

async fn replace(shared: &Shared, spec: &ContainerSpec) -> Result<ContainerId, SchedulerError> {
    let old = ContainerId(spec.name.clone());
    shared.engine.remove(&old).await?;
    Ok(shared.engine.create(spec).await?)
}

/// Everything but the container itself.
async fn prepare(
    shared: &Shared,
    id: DynoId,
    terminal: Terminal,
) -> Result<ContainerSpec, SchedulerError> {
    let recipe = recipe(shared, id).await?;
    let images =
        images(&recipe.slug).ok_or_else(|| missing(id, format!("slug {}", recipe.slug.digest)))?;
    let file = |image: &Digest| shared.config.slugs.join(ropewalk_slug::image::file(image));
    if let Some(image) = images.iter().find(|image| !file(image).exists()) {
        return Err(missing(id, format!("slug image {image}")));
    }
    let image = recipe
        .image
        .find(shared.engine.as_ref())
        .await?
        .ok_or_else(|| missing(id, "the image of its stack".to_owned()))?;
    let merged = {
        let _mounting = shared.mounting.read().await;
        for image in &images {
            shared.mounts.image(image, &file(image)).await?;
        }
        shared.mounts.overlay(id, &images).await?
    };
    let mut spec = spec(shared, &recipe, image, terminal);
    spec.mounts.push(Mount {
        source: merged,
        target: "/app".to_owned(),
        read_only: false,
    });
    Ok(spec)
}

/// The images that a slug is made of, the lowest first; there is at least one.
pub(crate) fn images(slug: &Slug) -> Option<Vec<Digest>> {
    let images = slug.images.iter().map(|image| image.parse().ok());
    images
        .collect::<Option<Vec<_>>>()
        .filter(|images| !images.is_empty())
}

async fn recipe(shared: &Shared, id: DynoId) -> Result<Recipe, SchedulerError> {
    let recipe = shared
        .store
        .read(move |view| {
            let dyno = view.dyno(id)?.ok_or(StoreError::NotFound("dyno"))?;
            let app = view.app(dyno.app)?;
            let release = view.release(app.id, dyno.release_version)?;
            let slug = view.slug(release.slug.ok_or(StoreError::NotFound("slug"))?)?;
            let version = release.stack_version.clone().unwrap_or_default();
            let stack = view
                .stack_version(&version)?
                .ok_or(StoreError::NotFound("stack version"))?;
            let image =
                ImageIds::read(&stack.images["run"]).ok_or(StoreError::NotFound("stack image"))?;
            let config = view.config_vars(app.id, release.version)?;
            let extra = view.dyno_env(id)?;
            let routed = !dyno.one_off && view.has_tcp_route(app.id, &dyno.name.process_type)?;
            Ok(Recipe {
                app,
                dyno,
                release,
                slug,
                config,
                extra,
                image,
                routed,
            })
        })
        .await?;
    Ok(recipe)
}

fn spec(shared: &Shared, recipe: &Recipe, image: String, terminal: Terminal) -> ContainerSpec {
    let dyno = &recipe.dyno;
    ContainerSpec {
        command: vec![LAUNCHER.to_owned(), dyno.command.clone()],
        env: env(recipe),
        tty: terminal == Terminal::Attached { tty: true },
        open_stdin: terminal != Terminal::None,
        ..outline(shared, recipe.app.id, dyno.id, &dyno.name, dyno.size, image)
    }
}

fn env(recipe: &Recipe) -> Vec<(String, String)> {
    let Recipe { app, dyno, .. } = recipe;
    let facts = Facts {
        app: app.id,
        app_name: &app.name,
        dyno: &dyno.name,
        version: recipe.release.version,
        commit: recipe.slug.commit.as_deref(),
        memory_mib: dyno.size.memory_mib,
        routed: recipe.routed,
    };
    variables(&facts, &recipe.config, &recipe.extra)
}

/// The variables that a dyno's processes find.
pub(crate) async fn env_of(
    shared: &Shared,
    id: DynoId,
) -> Result<Vec<(String, String)>, SchedulerError> {
    Ok(env(&recipe(shared, id).await?))
}

/// What a dyno's container is before it is known what will run in it.
pub(crate) fn outline(
    shared: &Shared,
    app: AppId,
    dyno: DynoId,
    name: &DynoName,
    size: DynoSize,
    image: String,
) -> ContainerSpec {
    let label = |name: &str, value: String| (name.to_owned(), value);
    ContainerSpec {
        name: container_name(shared, dyno),
        image,
        labels: BTreeMap::from([
            label(LABEL_KIND, KIND_DYNO.to_owned()),
            label(LABEL_DYNO, dyno.to_string()),
            label(LABEL_APP, app.to_string()),
            label(LABEL_NAME, name.to_string()),
        ]),
        user: format!("{DYNO_UID}:{DYNO_UID}"),
        working_dir: "/app".to_owned(),
        hostname: dyno.to_string(),
        tmpfs: vec![
            Tmpfs {
                target: "/tmp".to_owned(),
                size_mib: 256,
                exec: true,
            },
            Tmpfs {
                target: "/var/tmp".to_owned(),
                size_mib: 64,
                exec: false,
            },
        ],
        network: Some(shared.config.network.clone()),
        limits: Limits {
            memory: size.limit_mib << 20,
            cpu_shares: size.cpu_shares,
            cpu_millis: size.cpu_millis,
            pids: size.pids,
            io_weight: 0,
            shm_mib: 64,
            // The engine's own limit: what is above the daemon's would be refused.
            open_files: 0,
        },
        ..ContainerSpec::default()
    }
}

fn missing(dyno: DynoId, what: String) -> SchedulerError {
    SchedulerError::Missing { dyno, what }
}
