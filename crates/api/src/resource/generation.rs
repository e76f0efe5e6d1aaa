//! `/generations`: which protocols an app's clients are to speak. There is one, `cedar`.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::{Generation, Named};

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const ATTRIBUTES: [Attribute<Generation>; 2] = [
    ("id", |generation| Key::Text(generation.id.to_string())),
    ("name", |generation| Key::Text(generation.name.clone())),
];

pub(crate) async fn list(_: Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    wanted.page(vec![cedar()], &ATTRIBUTES)
}

pub(crate) async fn info(
    _: Shared<State>,
    actor: Actor,
    Path(generation): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let cedar = cedar();
    if cedar.name != generation && cedar.id.to_string() != generation {
        return Err(ApiError::not_found("generation"));
    }
    Ok(ok(&cedar))
}

/// Any other name makes clients use other protocols.
pub(crate) fn named() -> Named {
    Named {
        id: named_id("generation", "cedar"),
        name: "cedar".to_owned(),
    }
}

fn cedar() -> Generation {
    let Named { id, name } = named();
    Generation {
        id,
        name,
        // It has no row that could say when it was made.
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}
