//! `/account/keys`: SSH public keys, by which one's account pushes over SSH.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Key as Wire;
use ropewalk_api_types::key::KeyCreate;
use ropewalk_store::{NewSshKey, SshKey};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::resource::public_key;
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Wire>; 1] = [("id", |key| Key::Text(key.id.to_string()))];

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    let keys = own(&state, &actor).await?;
    wanted.page(keys.iter().map(wire).collect(), &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(key): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Account)?;
    Ok(ok(&wire(&find(&state, &actor, &key).await?)))
}

/// A key opens what a token opens, so it takes as much to add one.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<KeyCreate>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    let key = public_key::parse(&asked.public_key)?;
    let new = NewSshKey {
        id: Uuid::new_v4(),
        user: actor.user.id,
        fingerprint: key.fingerprint,
        public_key: key.text,
        // Keys are removed by their comments.
        comment: match key.comment.is_empty() {
            true => actor.user.email.clone(),
            false => key.comment,
        },
    };
    let row = state
        .ctx
        .store
        .write(move |tx| tx.add_ssh_key(&new, Timestamp::now()))
        .await?;
    Ok(created(&wire(&row)))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(key): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Tokens)?;
    let row = find(&state, &actor, &key).await?;
    let (user, id) = (row.user, row.id);
    let removed = state
        .ctx
        .store
        .write(move |tx| tx.remove_ssh_key(user, id))
        .await?;
    if !removed {
        return Err(ApiError::not_found("key"));
    }
    Ok(ok(&wire(&row)))
}

async fn own(state: &State, actor: &Actor) -> ApiResult<Vec<SshKey>> {
    let user = actor.user.id;
    Ok(state
        .ctx
        .store
        .read(move |view| view.ssh_keys(user))
        .await?)
}

/// By id, or by fingerprint in either form.
async fn find(state: &State, actor: &Actor, key: &str) -> ApiResult<SshKey> {
    own(state, actor)
        .await?
        .into_iter()
        .find(|row| {
            row.id.to_string() == key
                || row.fingerprint == key
                || public_key::md5(&row.public_key) == key
        })
        .ok_or_else(|| ApiError::not_found("key"))
}

fn wire(row: &SshKey) -> Wire {
    Wire {
        id: row.id,
        comment: row.comment.clone(),
        // What clients read before there was a comment.
        email: row.comment.clone(),
        fingerprint: public_key::md5(&row.public_key),
        public_key: row.public_key.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
