//! `/dyno-sizes`: what a dyno may use; and `/ropewalk/dyno-sizes`, where the operator says it.

use axum::extract::State as Shared;
use ropewalk_api_types::DynoSize as Wire;
use ropewalk_api_types::dyno_size::{Cost, SizeChange, SizeLimits};
use ropewalk_model::formation::FormationError;
use ropewalk_model::{DynoSize, SizeName, Sizes};
use uuid::Uuid;

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::resource::{app, generation};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::sign::named_id;

const ATTRIBUTES: [Attribute<Wire>; 2] = [
    ("id", |size| Key::Text(size.id.to_string())),
    ("name", |size| Key::Text(size.name.clone())),
];
const LIMIT_ATTRIBUTES: [Attribute<SizeLimits>; 1] =
    [("name", |size| Key::Text(size.name.clone()))];
/// MiB of the size that counts as one dyno unit.
const UNIT_MIB: f64 = 512.0;
/// Of a month, as prices are told (Heroku Dev Center, "Usage and Billing": by the second, a month at most).
const HOURS_A_MONTH: u64 = 720;
const MILLICENTS: u64 = 1000;

pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    page(&state, wanted).await
}

pub(crate) async fn list_for_app(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    app::find(&state, &actor, &app, Verb::Read).await?;
    page(&state, wanted).await
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(size): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let sizes = all(&state).await?;
    Ok(ok(&wire(there(&sizes, &size)?, &sizes)))
}

pub(crate) async fn list_limits(
    Shared(state): Shared<State>,
    actor: Actor,
    wanted: Wanted,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let limits = all(&state).await?.iter().map(limits_wire).collect();
    wanted.page(limits, &LIMIT_ATTRIBUTES)
}

pub(crate) async fn limits(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(size): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Catalogue)?;
    let sizes = all(&state).await?;
    Ok(ok(&limits_wire(&there(&sizes, &size)?)))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<SizeChange>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Catalogue)?;
    let name = asked.name.as_deref().unwrap_or_default();
    let name = SizeName::parse(name).map_err(|error| ApiError::invalid(error.to_string()))?;
    let memory = asked
        .memory_mib
        .ok_or_else(|| ApiError::invalid("A new dyno size needs `memory_mib`."))?;
    let mut plain = DynoSize::with_memory(name, memory);
    if asked.dedicated == Some(true) {
        plain.limit_mib = memory;
    }
    let new = over(&asked, plain);
    let made = state.ctx.store.write(move |tx| tx.add_size(&new)).await?;
    tracing::info!(size = %made.name, by = %actor.user.id, "Dyno size added.");
    Ok(created(&limits_wire(&made)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(size): Path<String>,
    Json(asked): Json<SizeChange>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Catalogue)?;
    if asked.name.is_some() {
        return Err(ApiError::invalid(
            "A dyno size keeps its name; add another with the name that it should have.",
        ));
    }
    let before = there(&all(&state).await?, &size)?;
    // Who says how much memory, and not what its limit is, means the one to follow the other.
    let follows = |memory: u64| match before.limit_mib == before.memory_mib {
        true => memory,
        false => memory.saturating_mul(2),
    };
    let limit_mib = asked.limit_mib.or(asked.memory_mib.map(follows));
    let changed = over(&SizeChange { limit_mib, ..asked }, before);
    let changed = state.ctx.store.write(move |tx| tx.change_size(&changed));
    let changed = changed.await?;
    tracing::info!(size = %changed.name, by = %actor.user.id, "Dyno size changed.");
    state.ctx.platform.changed();
    Ok(ok(&limits_wire(&changed)))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(size): Path<String>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::Catalogue)?;
    let size = there(&all(&state).await?, &size)?;
    let removed = state.ctx.store.write(move |tx| tx.remove_size(size.name));
    removed.await?;
    tracing::info!(size = %size.name, by = %actor.user.id, "Dyno size removed.");
    Ok(ok(&limits_wire(&size)))
}

/// By name in any case, or by id.
pub(crate) fn find(sizes: &Sizes, name_or_id: &str) -> Result<DynoSize, FormationError> {
    let by_id = || {
        let mut sizes = sizes.iter().copied();
        sizes.find(|size| id(*size).to_string() == name_or_id)
    };
    sizes
        .find(name_or_id)
        .or_else(by_id)
        .ok_or_else(|| FormationError::Size(name_or_id.to_owned(), sizes.names()))
}

pub(crate) fn id(size: DynoSize) -> Uuid {
    named_id("dyno size", size.name.as_str())
}

async fn all(state: &State) -> ApiResult<Sizes> {
    Ok(state.ctx.store.read(|view| view.sizes()).await?)
}

/// Of an address: what is not there is not found.
fn there(sizes: &Sizes, name_or_id: &str) -> ApiResult<DynoSize> {
    find(sizes, name_or_id).map_err(|_| ApiError::not_found("dyno_size"))
}

async fn page(state: &State, wanted: Wanted) -> ApiResult {
    let sizes = all(state).await?;
    let wires = sizes.iter().map(|size| wire(*size, &sizes)).collect();
    wanted.page(wires, &ATTRIBUTES)
}

/// What is asked for over what there is.
fn over(asked: &SizeChange, size: DynoSize) -> DynoSize {
    DynoSize {
        memory_mib: asked.memory_mib.unwrap_or(size.memory_mib),
        limit_mib: asked.limit_mib.unwrap_or(size.limit_mib),
        cpu_shares: asked.cpu_shares.unwrap_or(size.cpu_shares),
        cpu_millis: (asked.cpu_millis).map_or(size.cpu_millis, Option::unwrap_or_default),
        pids: asked.pids.unwrap_or(size.pids),
        disk_mib: (asked.disk_mib).map_or(size.disk_mib, Option::unwrap_or_default),
        price: asked.price.unwrap_or(size.price),
        dedicated: asked.dedicated.unwrap_or(size.dedicated),
        sleeps: asked.sleeps.unwrap_or(size.sleeps),
        ..size
    }
}

fn limits_wire(size: &DynoSize) -> SizeLimits {
    SizeLimits {
        name: size.name.to_string(),
        memory_mib: size.memory_mib,
        limit_mib: size.limit_mib,
        cpu_shares: size.cpu_shares,
        cpu_millis: (size.cpu_millis != 0).then_some(size.cpu_millis),
        pids: size.pids,
        disk_mib: (size.disk_mib != 0).then_some(size.disk_mib),
        price: size.price,
        dedicated: size.dedicated,
        sleeps: size.sleeps,
        usual: size.name == DynoSize::DEFAULT.name,
    }
}

fn wire(size: DynoSize, sizes: &Sizes) -> Wire {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let smallest = sizes.iter().map(|size| size.cpu_shares).min();
    let cost = |millicents: u64| Cost {
        cents: millicents.saturating_mul(HOURS_A_MONTH) / MILLICENTS,
        unit: "month".to_owned(),
    };
    Wire {
        id: id(size),
        name: size.name.to_string(),
        architecture: architecture.to_owned(),
        compute: (size.cpu_shares / smallest.unwrap_or(1).max(1)).into(),
        cost: size.price.map(cost),
        dedicated: size.dedicated,
        precise_dyno_units: size.memory_mib as f64 / UNIT_MIB,
        generation: generation::named(),
        memory: size.memory_mib as f64 / 1024.0,
        private_space_only: false,
    }
}
