//! `/apps/:app/slugs`: built trees. One that is sent in is announced here first, and is a slug once its archive came.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Slug;
use ropewalk_api_types::slug::{Blob, SlugCreate};
use ropewalk_model::{ProcessType, SlugId};
use ropewalk_store::{self as store, ExpectedSlug, StoreError};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::context::Context;
use crate::grant::Grant;
use crate::resource::blob::{self, Way};
use crate::resource::path::Path;
use crate::resource::{app, stack};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::text;

/// Process types of one slug, and the longest command in bytes.
const MAX_TYPES: usize = 100;
const MAX_COMMAND: usize = 8 << 10;
/// Slugs of one app whose archive has not come.
const MAX_EXPECTED: u32 = 100;

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, slug)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let grant = Grant::of(&actor, app.id);
    let id: SlugId = slug.parse().map_err(|_| ApiError::not_found("slug"))?;
    let found = state
        .ctx
        .store
        .read(move |view| match view.expected_slug(id)? {
            Some(expected) if expected.app == app.id => Ok(Found::Expected(expected)),
            Some(_) => Err(StoreError::NotFound("slug")),
            None => match view.slug(id)? {
                slug if slug.app == app.id => Ok(Found::Slug(slug)),
                _ => Err(StoreError::NotFound("slug")),
            },
        })
        .await?;
    Ok(ok(&match found {
        Found::Expected(row) => expected(&state.ctx, &row, grant)?,
        Found::Slug(row) => wire(&state.ctx, &row, grant)?,
    }))
}

enum Found {
    Slug(store::Slug),
    Expected(ExpectedSlug),
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<SlugCreate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let process_types = asked
        .process_types
        .ok_or_else(|| ApiError::invalid("A slug has process_types, if only {}."))?;
    check_types(&process_types)?;
    let stack = match asked.stack.as_deref() {
        Some(stack) => stack::find_name(&state, stack).await?,
        None => app.stack.clone(),
    };
    let row = ExpectedSlug {
        id: SlugId(Uuid::new_v4()),
        app: app.id,
        commit: text::version("commit", asked.commit)?,
        commit_description: text::description("commit_description", asked.commit_description)?,
        checksum: text::checksum(asked.checksum)?,
        process_types,
        buildpack_description: text::version(
            "buildpack_provided_description",
            asked.buildpack_provided_description,
        )?,
        stack,
        created_at: Timestamp::now(),
    };
    let written = row.clone();
    state
        .ctx
        .store
        .write(move |tx| {
            tx.app(written.app)?;
            if tx.expected_slugs(written.app)? >= MAX_EXPECTED {
                return Err(StoreError::Refused(format!(
                    "{MAX_EXPECTED} slugs of this app wait for their archives already."
                )));
            }
            tx.expect_slug(&written)
        })
        .await?;
    Ok(created(&expected(
        &state.ctx,
        &row,
        Grant::of(&actor, row.app),
    )?))
}

fn check_types(types: &BTreeMap<String, String>) -> ApiResult<()> {
    if types.len() > MAX_TYPES {
        return Err(ApiError::invalid(format!(
            "A slug has at most {MAX_TYPES} process types."
        )));
    }
    for (name, command) in types {
        ProcessType::parse(name).map_err(|error| ApiError::invalid(error.to_string()))?;
        if command.len() > MAX_COMMAND || command.chars().any(char::is_control) {
            return Err(ApiError::invalid(format!(
                "The command of {name} must be one line of at most {MAX_COMMAND} bytes."
            )));
        }
    }
    Ok(())
}

fn wire(ctx: &Context, row: &store::Slug, grant: Grant) -> ApiResult<Slug> {
    let tgz = row.tgz.as_ref();
    Ok(Slug {
        id: row.id.0,
        blob: Blob {
            method: "get".to_owned(),
            url: blob::slug_url(ctx, Way::Get, grant, row.id)?,
        },
        buildpack_provided_description: row.buildpack_description.clone(),
        checksum: tgz.map(|tgz| tgz.digest.replacen("sha256:", "SHA256:", 1)),
        commit: row.commit.clone(),
        commit_description: row.commit_description.clone(),
        process_types: row.process_types.clone(),
        size: Some(tgz.map_or(row.image_size, |tgz| tgz.size)),
        stack: stack::named(&row.stack),
        deleted_at: None,
        created_at: row.created_at,
        updated_at: row.created_at,
    })
}

/// A slug whose archive is to be sent to its blob's address.
fn expected(ctx: &Context, row: &ExpectedSlug, grant: Grant) -> ApiResult<Slug> {
    Ok(Slug {
        id: row.id.0,
        blob: Blob {
            method: "put".to_owned(),
            url: blob::slug_url(ctx, Way::Put, grant, row.id)?,
        },
        buildpack_provided_description: row.buildpack_description.clone(),
        checksum: row.checksum.clone(),
        commit: row.commit.clone(),
        commit_description: row.commit_description.clone(),
        process_types: row.process_types.clone(),
        size: None,
        stack: stack::named(&row.stack),
        deleted_at: None,
        created_at: row.created_at,
        updated_at: row.created_at,
    })
}
