//! `/regions`: this installation is one, and is called `us` because clients print any other name behind the app's.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::region::Provider;
use ropewalk_api_types::{Named, Region};

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const NAME: &str = "us";
const ATTRIBUTES: [Attribute<Region>; 2] = [
    ("id", |region| Key::Text(region.id.to_string())),
    ("name", |region| Key::Text(region.name.clone())),
];

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    wanted.page(vec![wire(&state).await?], &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(region): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    if !is_ours(&region) {
        return Err(ApiError::not_found("region"));
    }
    Ok(ok(&wire(&state).await?))
}

/// Refuses any other region.
pub(crate) fn check(name_or_id: &str) -> ApiResult<()> {
    if is_ours(name_or_id) {
        Ok(())
    } else {
        Err(ApiError::invalid(format!(
            "There is no region {name_or_id}. Regions are: {NAME}."
        )))
    }
}

pub(crate) fn named() -> Named {
    Named {
        id: named_id("region", NAME),
        name: NAME.to_owned(),
    }
}

fn is_ours(name_or_id: &str) -> bool {
    name_or_id == NAME || name_or_id == named().id.to_string()
}

async fn wire(state: &State) -> ApiResult<Region> {
    // As old as the installation, which is as old as its first account.
    let users = state.ctx.store.read(|view| view.users()).await?;
    let since = users
        .first()
        .map_or(Timestamp::UNIX_EPOCH, |user| user.created_at);
    let Named { id, name } = named();
    Ok(Region {
        id,
        name,
        country: "This server".to_owned(),
        locale: state.ctx.urls.domain.clone(),
        description: "This server".to_owned(),
        private_capable: false,
        provider: Provider {
            name: "ropewalk".to_owned(),
            region: state.ctx.urls.domain.clone(),
        },
        created_at: since,
        updated_at: since,
    })
}
