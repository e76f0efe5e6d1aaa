//! `/stacks`: the base images there are, one entry a name whatever the number of its versions.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use ropewalk_api_types::{Named, Stack};
use ropewalk_store as store;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const ATTRIBUTES: [Attribute<Stack>; 2] = [
    ("id", |stack| Key::Text(stack.id.to_string())),
    ("name", |stack| Key::Text(stack.name.clone())),
];

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    wanted.page(all(&state).await?, &ATTRIBUTES)
}

pub(crate) async fn list_for_app(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Read).await?;
    wanted.page(all(&state).await?, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(stack): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let found = all(&state)
        .await?
        .into_iter()
        .find(|known| known.name == stack || known.id.to_string() == stack)
        .ok_or_else(|| ApiError::not_found("stack"))?;
    Ok(ok(&found))
}

/// The name of the stack of that name or id; one that was never built here is refused.
pub(crate) async fn find_name(state: &State, name_or_id: &str) -> ApiResult<String> {
    let stacks = all(state).await?;
    let names: Vec<&str> = stacks.iter().map(|stack| stack.name.as_str()).collect();
    stacks
        .iter()
        .find(|stack| stack.name == name_or_id || stack.id.to_string() == name_or_id)
        .map(|stack| stack.name.clone())
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "There is no stack {name_or_id}. Stacks are: {}.",
                names.join(", ")
            ))
        })
}

pub(crate) fn named(name: &str) -> Named {
    Named {
        id: named_id("stack", name),
        name: name.to_owned(),
    }
}

async fn all(state: &State) -> ApiResult<Vec<Stack>> {
    let rows = state.ctx.store.read(|view| view.stacks()).await?;
    let mut by_name: BTreeMap<String, Stack> = BTreeMap::new();
    for row in rows {
        let store::Stack {
            name, created_at, ..
        } = row;
        let stack = by_name.entry(name.clone()).or_insert_with(|| Stack {
            id: named_id("stack", &name),
            default: name == state.ctx.default_stack,
            state: "public".to_owned(),
            created_at,
            updated_at: created_at,
            name,
        });
        stack.created_at = stack.created_at.min(created_at);
        stack.updated_at = stack.updated_at.max(created_at);
    }
    Ok(by_name.into_values().collect())
}
