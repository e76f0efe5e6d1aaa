//! `/sources`: a place to send a source archive to before it is built.

use axum::extract::State as Shared;
use ropewalk_api_types::source::{Source, SourceUrls};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::app;
use crate::resource::blob::{self, Way};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::created;
use crate::transport::error::ApiResult;

pub(crate) async fn create(Shared(state): Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::NewApp)?;
    make(&state, &actor)
}

/// The same below an app, as older clients ask for it.
pub(crate) async fn create_for_app(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Write).await?;
    make(&state, &actor)
}

fn make(state: &State, actor: &Actor) -> ApiResult {
    let id = Uuid::new_v4();
    Ok(created(&Source {
        source_blob: SourceUrls {
            get_url: blob::source_url(&state.ctx, Way::Get, actor, id)?,
            put_url: blob::source_url(&state.ctx, Way::Put, actor, id)?,
        },
    }))
}
