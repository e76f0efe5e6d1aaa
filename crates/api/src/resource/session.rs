//! `/oauth/sessions`: the tokens that were made by logging in.

use axum::extract::State as Shared;
use ropewalk_api_types::oauth::Session;
use ropewalk_store::Token;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::oauth::{own, seconds_left};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Session>; 1] = [("id", |session| Key::Text(session.id.to_string()))];

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Tokens)?;
    let tokens = own(&state, &actor).await?;
    let wires = tokens.iter().filter(|token| token.session).map(wire);
    wanted.page(wires.collect(), &ATTRIBUTES)
}

/// By id, or `~` for the one in hand. A token in hand that was not made by logging in is no session.
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(session): Path<String>,
) -> ApiResult {
    let gone = || ApiError::not_found("session");
    let token = if session == "~" || session == actor.token.id.to_string() {
        actor.token.clone()
    } else {
        authorise(&actor, Verb::Write, Resource::Tokens)?;
        own(&state, &actor)
            .await?
            .into_iter()
            .find(|token| token.id.to_string() == session)
            .ok_or_else(gone)?
    };
    if !token.session {
        return Err(gone());
    }
    let id = token.id;
    state.ctx.store.write(move |tx| tx.delete_token(id)).await?;
    Ok(ok(&wire(&token)))
}

fn wire(token: &Token) -> Session {
    Session {
        id: token.id.0,
        description: token.description.clone(),
        expires_in: seconds_left(token),
        created_at: token.created_at,
        updated_at: token.updated_at,
    }
}
