//! `/apps/:app/builds`: source trees on their way to slugs, pushed or sent as archives.

use axum::extract::State as Shared;
use ropewalk_api_types::build::{BuildCreate, BuildStatus, Buildpack, SourceBlob};
use ropewalk_api_types::dyno::Accepted;
use ropewalk_api_types::{Build, ById, UserRef};
use ropewalk_model::BuildId;
use ropewalk_store as store;
use ropewalk_store::View;

use crate::authorise::{Actor, Verb};
use crate::builds::{BuildRequest, Origin};
use crate::context::Context;
use crate::grant::Grant;
use crate::resource::path::Path;
use crate::resource::{app, blob, buildpack_installation, generation, output};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::text;

/// Longest address of a source, in bytes: signatures make them long.
const MAX_URL: usize = 8 << 10;

const ATTRIBUTES: [Attribute<Build>; 3] = [
    ("created_at", |build| Key::Time(build.created_at)),
    ("id", |build| Key::Text(build.id.to_string())),
    ("updated_at", |build| Key::Time(build.updated_at)),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let grant = Grant::of(&actor, app.id);
    let ctx = state.ctx.clone();
    let builds = state
        .ctx
        .store
        .read(move |view| {
            let rows = view.builds(app.id, u32::MAX >> 1)?;
            rows.iter()
                .map(|row| wire(&ctx, view, &app, grant, row))
                .collect()
        })
        .await?;
    wanted.page::<Build>(builds, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, build)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id: BuildId = build.parse().map_err(|_| ApiError::not_found("build"))?;
    Ok(ok(&find(&state, &actor, app, id).await?))
}

/// Begins a build of a source archive; what becomes of it is told by its output.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<BuildCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let blob = asked.source_blob;
    check_url("source_blob.url", &blob.url)?;
    let request = BuildRequest {
        app: app.id,
        user: actor.user.id,
        origin: match blob::source_of(&state.ctx, &blob.url)? {
            Some((account, source)) => Origin::Source { account, source },
            None => Origin::Elsewhere,
        },
        url: blob.url,
        checksum: text::checksum(blob.checksum)?,
        version: text::version("source_blob.version", blob.version)?,
        description: text::description(
            "source_blob.version_description",
            blob.version_description,
        )?,
        buildpacks: asked_buildpacks(asked.buildpacks.unwrap_or_default())?,
    };
    let id = state.ctx.platform.build(request).await?;
    state.ctx.say_who(app.id, &actor.user, "Build started");
    Ok(created(&find(&state, &actor, app, id).await?))
}

/// Ends a build under way.
pub(crate) async fn cancel(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, build)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let id: BuildId = build.parse().map_err(|_| ApiError::not_found("build"))?;
    let app_id = app.id;
    let found = find(&state, &actor, app, id).await?;
    if !state.ctx.platform.cancel_build(app_id, id) {
        return Err(ApiError::invalid(
            "That build is not under way (any more): it has ended, or has made its release.",
        ));
    }
    state.ctx.say_who(app_id, &actor.user, "Build cancelled");
    Ok(ok(&found))
}

pub(crate) async fn delete_cache(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    state.ctx.platform.purge_build_cache(app.id).await?;
    state
        .ctx
        .say_who(app.id, &actor.user, "Build cache deleted");
    Ok(ok(&Accepted {}))
}

/// An address of the web, of which nothing is asked yet.
pub(crate) fn check_url(what: &str, url: &str) -> ApiResult<()> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let plain = url.len() <= MAX_URL && url.bytes().all(|byte| byte.is_ascii_graphic());
    match rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) && plain {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "{what} must be an http(s) address of at most {MAX_URL} bytes."
        ))),
    }
}

fn asked_buildpacks(asked: Vec<Buildpack>) -> ApiResult<Vec<String>> {
    if asked.len() > buildpack_installation::MAX {
        return Err(ApiError::invalid(format!(
            "A build uses at most {} buildpacks.",
            buildpack_installation::MAX
        )));
    }
    let mut buildpacks = Vec::new();
    for one in asked {
        let named = one.url.or(one.name).filter(|text| !text.is_empty());
        let named = named.ok_or_else(|| ApiError::invalid("A buildpack has a url or a name."))?;
        buildpacks.push(buildpack_installation::normal(&named)?);
    }
    Ok(buildpacks)
}

async fn find(state: &State, actor: &Actor, app: store::App, id: BuildId) -> ApiResult<Build> {
    let grant = Grant::of(actor, app.id);
    let ctx = state.ctx.clone();
    let build = state
        .ctx
        .store
        .read(move |view| {
            let row = view.build(app.id, id)?;
            wire(&ctx, view, &app, grant, &row)
        })
        .await?;
    Ok(build)
}

fn wire(
    ctx: &Context,
    view: &View<'_>,
    app: &store::App,
    grant: Grant,
    row: &store::Build,
) -> store::Result<Build> {
    let release = match row.release_version {
        Some(version) => Some(ById {
            id: view.release(app.id, version)?.id.0,
        }),
        None => None,
    };
    let user = view.user(row.user)?;
    Ok(Build {
        id: row.id.0,
        app: ById { id: app.id.0 },
        buildpacks: Some(buildpacks(row)),
        generation: generation::named().name,
        output_stream_url: output::url(ctx, grant, row.id.0),
        source_blob: match &row.source {
            Some(source) => SourceBlob {
                checksum: source.checksum.clone(),
                url: source.url.clone(),
                version: row.commit.clone(),
                version_description: source.description.clone(),
            },
            None => SourceBlob {
                checksum: None,
                url: ctx.urls.git(app.name.as_str()),
                version: row.commit.clone(),
                version_description: None,
            },
        },
        release,
        slug: row.slug.map(|slug| ById { id: slug.0 }),
        stack: row.stack.clone(),
        status: match row.status {
            store::BuildStatus::Pending => BuildStatus::Pending,
            store::BuildStatus::Succeeded => BuildStatus::Succeeded,
            store::BuildStatus::Failed => BuildStatus::Failed,
        },
        user: UserRef {
            id: user.id.0,
            email: user.email,
        },
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Either of name and address stands for the other where only one was noted.
fn buildpacks(row: &store::Build) -> Vec<Buildpack> {
    let text = |value: &serde_json::Value, key: &str| {
        value
            .get(key)
            .and_then(|text| text.as_str())
            .map(str::to_owned)
    };
    row.buildpacks
        .as_array()
        .into_iter()
        .flatten()
        .map(|value| {
            let (name, url) = (text(value, "name"), text(value, "url"));
            Buildpack {
                url: url
                    .clone()
                    .or_else(|| name.as_deref().map(buildpack_installation::url)),
                name: name.or(url),
            }
        })
        .collect()
}
