//! `/apps/:app/formation`: how many dynos of which size; `ps:scale` and `ps:type`.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::formation::{FormationBatchUpdate, FormationUpdate};
use ropewalk_api_types::{Formation, Named};
use ropewalk_model::formation::{FormationError, Quantity};
use ropewalk_model::{AppId, DynoSize, ProcessType, Sizes};
use ropewalk_store as store;
use ropewalk_store::FormationChange;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{app, dyno_size};
use crate::state::State;
use crate::transport::body::{Json, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Formation>; 2] = [
    ("id", |formation| Key::Text(formation.id.to_string())),
    ("type", |formation| {
        Key::Text(formation.process_type.clone())
    }),
];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let rows = rows(&state, app.id).await?;
    wanted.page(
        rows.iter().map(|row| wire(&app, row)).collect(),
        &ATTRIBUTES,
    )
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let rows = rows(&state, app.id).await?;
    let row = named(&rows, &process_type)?;
    Ok(ok(&wire(&app, row)))
}

pub(crate) async fn update_batch(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<FormationBatchUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    if asked.updates.is_empty() {
        return Err(ApiError::invalid("`updates` names no process type."));
    }
    let sizes = state.ctx.store.read(|view| view.sizes()).await?;
    let mut changes = Vec::with_capacity(asked.updates.len());
    for update in &asked.updates {
        let name = update
            .process_type
            .as_deref()
            .ok_or_else(|| ApiError::invalid("Each of `updates` needs a `type`."))?;
        changes.push(change(name, update, &sizes)?);
    }
    let rows = scale(&state, &actor, app.id, changes).await?;
    let wires: Vec<Formation> = rows.iter().map(|row| wire(&app, row)).collect();
    Ok(ok(&wires))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, process_type)): Path<(String, String)>,
    Json(asked): Json<FormationUpdate>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Write).await?;
    let before = rows(&state, app.id).await?;
    let name = named(&before, &process_type)?.process_type.to_string();
    let sizes = state.ctx.store.read(|view| view.sizes()).await?;
    let change = change(&name, &asked, &sizes)?;
    let rows = scale(&state, &actor, app.id, vec![change]).await?;
    Ok(ok(&wire(&app, named(&rows, &name)?)))
}

fn change(name: &str, asked: &FormationUpdate, sizes: &Sizes) -> ApiResult<FormationChange> {
    if let Some(Some(_)) = asked.docker_image {
        return Err(ApiError::invalid(
            "Releases of images are not available; deploy with git push.",
        ));
    }
    // A name that cannot be one is a type that is not there.
    let process_type =
        ProcessType::parse(name).map_err(|_| FormationError::UnknownType(name.to_owned()))?;
    let quantity = match &asked.quantity {
        Some(quantity) => Some(Quantity::parse(&quantity.to_string())?),
        None => None,
    };
    let size = match (&asked.size, &asked.dyno_size) {
        (Some(name), _) => Some(dyno_size::find(sizes, name)?),
        (None, Some(reference)) => match (&reference.name, reference.id) {
            (Some(name), _) => Some(dyno_size::find(sizes, name)?),
            (None, Some(id)) => Some(dyno_size::find(sizes, &id.to_string())?),
            (None, None) => None,
        },
        (None, None) => None,
    };
    Ok(FormationChange {
        process_type,
        quantity,
        size,
    })
}

async fn scale(
    state: &State,
    actor: &Actor,
    app: AppId,
    changes: Vec<FormationChange>,
) -> ApiResult<Vec<store::Formation>> {
    let types: Vec<ProcessType> = changes
        .iter()
        .map(|change| change.process_type.clone())
        .collect();
    let rows = state
        .ctx
        .store
        .write(move |tx| tx.scale(app, &changes, Timestamp::now()))
        .await?;
    let said: Vec<String> = rows
        .iter()
        .filter(|row| types.contains(&row.process_type))
        .map(|row| format!("{}@{}:{}", row.process_type, row.quantity, row.size.name))
        .collect();
    let text = format!("Scaled to {}", said.join(" "));
    state.ctx.say_who(app, &actor.user, &text);
    state.ctx.platform.changed();
    Ok(rows)
}

async fn rows(state: &State, app: AppId) -> ApiResult<Vec<store::Formation>> {
    Ok(state
        .ctx
        .store
        .read(move |view| view.formation(app))
        .await?)
}

/// By process type or id.
fn named<'a>(rows: &'a [store::Formation], key: &str) -> ApiResult<&'a store::Formation> {
    rows.iter()
        .find(|row| row.process_type.as_str() == key || row.id.to_string() == key)
        .ok_or_else(|| FormationError::UnknownType(key.to_owned()).into())
}

fn wire(app: &store::App, row: &store::Formation) -> Formation {
    Formation {
        id: row.id,
        app: app::named(app),
        process_type: row.process_type.to_string(),
        command: row.command.clone().unwrap_or_default(),
        quantity: row.quantity,
        size: row.size.name.to_string(),
        dyno_size: size_named(row.size),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Clients print `size` and compare `dyno_size.name`, which is in lower case.
fn size_named(size: DynoSize) -> Named {
    Named {
        id: dyno_size::id(size),
        name: size.name.as_str().to_ascii_lowercase(),
    }
}
