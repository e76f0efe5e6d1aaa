//! `/apps/:app/builds`: source trees on their way to slugs. Builds are made by pushing.

use axum::extract::State as Shared;
use ropewalk_api_types::build::{BuildStatus, Buildpack, SourceBlob};
use ropewalk_api_types::{Build, ById, UserRef};
use ropewalk_model::BuildId;
use ropewalk_store as store;
use ropewalk_store::View;

use crate::authorise::{Actor, Verb};
use crate::context::Context;
use crate::grant::Grant;
use crate::resource::path::Path;
use crate::resource::{app, buildpack_installation, generation, output};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

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
    let grant = Grant::of(&actor, app.id);
    let id: BuildId = build.parse().map_err(|_| ApiError::not_found("build"))?;
    let ctx = state.ctx.clone();
    let build = state
        .ctx
        .store
        .read(move |view| {
            let row = view.build(app.id, id)?;
            wire(&ctx, view, &app, grant, &row)
        })
        .await?;
    Ok(ok(&build))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    Err(ApiError::invalid(format!(
        "Builds of source archives are not available yet. Deploy with git: git push {} main",
        state.ctx.urls.git(app.name.as_str())
    )))
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
        source_blob: SourceBlob {
            checksum: None,
            url: ctx.urls.git(app.name.as_str()),
            version: row.commit.clone(),
            version_description: None,
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
