//! `/dyno-sizes`: what a dyno may use.

use axum::extract::State as Shared;
use ropewalk_api_types::DynoSize as Wire;
use ropewalk_model::DynoSize;
use ropewalk_model::formation::FormationError;
use ropewalk_model::size::SIZES;
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::resource::{app, generation};
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const ATTRIBUTES: [Attribute<Wire>; 2] = [
    ("id", |size| Key::Text(size.id.to_string())),
    ("name", |size| Key::Text(size.name.clone())),
];
/// MiB of the size that counts as one dyno unit.
const UNIT_MIB: f64 = 512.0;

pub(crate) async fn list(_: Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    wanted.page(SIZES.map(wire).to_vec(), &ATTRIBUTES)
}

pub(crate) async fn list_for_app(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Read).await?;
    wanted.page(SIZES.map(wire).to_vec(), &ATTRIBUTES)
}

pub(crate) async fn info(_: Shared<State>, actor: Actor, Path(size): Path<String>) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let size = find(&size).map_err(|_| ApiError::not_found("dyno_size"))?;
    Ok(ok(&wire(size)))
}

/// By name in any case, or by id.
pub(crate) fn find(name_or_id: &str) -> Result<DynoSize, FormationError> {
    DynoSize::find(name_or_id)
        .or_else(|| {
            SIZES
                .into_iter()
                .find(|size| id(*size).to_string() == name_or_id)
        })
        .ok_or_else(|| FormationError::Size(name_or_id.to_owned(), DynoSize::names()))
}

pub(crate) fn id(size: DynoSize) -> Uuid {
    named_id("dyno size", size.name)
}

fn wire(size: DynoSize) -> Wire {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let smallest = SIZES[0].cpu_shares.max(1);
    Wire {
        id: id(size),
        name: size.name.to_owned(),
        architecture: architecture.to_owned(),
        compute: (size.cpu_shares / smallest).into(),
        cost: None,
        dedicated: size.dedicated,
        precise_dyno_units: size.memory_mib as f64 / UNIT_MIB,
        generation: generation::named(),
        memory: size.memory_mib as f64 / 1024.0,
        private_space_only: false,
    }
}
