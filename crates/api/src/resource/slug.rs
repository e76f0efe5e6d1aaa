//! `/apps/:app/slugs`: built trees.

use axum::extract::State as Shared;
use ropewalk_api_types::Slug;
use ropewalk_api_types::slug::Blob;
use ropewalk_model::SlugId;
use ropewalk_store as store;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{app, stack};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, slug)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id: SlugId = slug.parse().map_err(|_| ApiError::not_found("slug"))?;
    let row = state.ctx.store.read(move |view| view.slug(id)).await?;
    if row.app != app.id {
        return Err(ApiError::not_found("slug"));
    }
    Ok(ok(&wire(&row)))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    Err(ApiError::invalid(format!(
        "Slugs cannot be sent in yet. Deploy with git: git push {} main",
        state.ctx.urls.git(app.name.as_str())
    )))
}

fn wire(row: &store::Slug) -> Slug {
    let tgz = row.tgz.as_ref();
    Slug {
        id: row.id.0,
        // The form that travels is not served here yet: an empty address.
        blob: Blob {
            method: "get".to_owned(),
            url: String::new(),
        },
        buildpack_provided_description: row.buildpack_description.clone(),
        checksum: tgz.map(|tgz| tgz.digest.replacen("sha256:", "SHA256:", 1)),
        commit: row.commit.clone(),
        commit_description: None,
        process_types: row.process_types.clone(),
        size: Some(tgz.map_or(row.image_size, |tgz| tgz.size)),
        stack: stack::named(&row.stack),
        deleted_at: None,
        created_at: row.created_at,
        updated_at: row.created_at,
    }
}
