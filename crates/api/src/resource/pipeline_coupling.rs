//! `/pipeline-couplings`: which app is in which pipeline, at which stage. An app is in one at most.

use std::collections::HashMap;

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::ById;
use ropewalk_api_types::pipeline::{
    PipelineCoupling, PipelineCouplingCreate, PipelineCouplingUpdate, PipelineRef, Stage as Wire,
};
use ropewalk_model::pipeline::Stage;
use ropewalk_model::{CouplingId, PipelineId};
use ropewalk_store as store;
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::resource::path::Path;
use crate::resource::{account, app, pipeline};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<PipelineCoupling>; 3] = [
    ("id", |coupling| Key::Text(coupling.id.to_string())),
    ("created_at", |coupling| Key::Time(coupling.created_at)),
    ("updated_at", |coupling| Key::Time(coupling.updated_at)),
];

/// `GET /pipeline-couplings`: of every pipeline that the actor may see.
pub(crate) async fn list(Shared(state): Shared<State>, actor: Actor, wanted: Wanted) -> ApiResult {
    let known = pipeline::visible(&state, &actor).await?;
    let rows = state.ctx.store.read(|view| view.couplings()).await?;
    let by_id: HashMap<PipelineId, &store::Pipeline> = known
        .iter()
        .map(|pipeline| (pipeline.id, pipeline))
        .collect();
    let wires = rows
        .iter()
        .filter_map(|row| Some(wire(row, by_id.get(&row.pipeline)?)))
        .collect();
    wanted.page(wires, &ATTRIBUTES)
}

/// `GET /users/~/pipeline-couplings`
pub(crate) async fn list_own(
    state: Shared<State>,
    actor: Actor,
    Path(user): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    account::check_self(&actor, &user)?;
    list(state, actor, wanted).await
}

pub(crate) async fn list_of_pipeline(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(name): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let pipeline = pipeline::find(&state, &actor, &name, Verb::Read).await?;
    let id = pipeline.id;
    let rows = state
        .ctx
        .store
        .read(move |view| view.couplings_of(id))
        .await?;
    let wires = rows.iter().map(|row| wire(row, &pipeline)).collect();
    wanted.page(wires, &ATTRIBUTES)
}

/// `GET /apps/:app/pipeline-couplings`: 404 is how "in no pipeline" is said.
pub(crate) async fn of_app(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let found = state
        .ctx
        .store
        .read(move |view| {
            let Some(row) = view.coupling_of_app(app.id)? else {
                return Ok(None);
            };
            let pipeline = view.pipeline(row.pipeline)?;
            Ok(Some(wire(&row, &pipeline)))
        })
        .await?;
    match found {
        Some(coupling) => Ok(ok(&coupling)),
        None => Err(ApiError::not_found("pipeline_coupling")),
    }
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(coupling): Path<String>,
) -> ApiResult {
    let (row, pipeline) = find(&state, &actor, &coupling, Verb::Read).await?;
    Ok(ok(&wire(&row, &pipeline)))
}

/// Puts an app that one may change into a pipeline that one may change.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<PipelineCouplingCreate>,
) -> ApiResult {
    let pipeline = pipeline::find(&state, &actor, &asked.pipeline, Verb::Write).await?;
    let app = app::find(&state, &actor, &asked.app, Verb::Write).await?;
    let stage = pipeline::parse_stage(&asked.stage)?;
    let (id, into, what) = (CouplingId(Uuid::new_v4()), pipeline.id, app.id);
    let row = state
        .ctx
        .store
        .write(move |tx| tx.couple(id, into, what, stage, Timestamp::now()))
        .await?;
    say(
        &state,
        &actor,
        &row,
        &format!("Added to pipeline {} at {stage}", pipeline.name),
    );
    Ok(created(&wire(&row, &pipeline)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(coupling): Path<String>,
    Json(asked): Json<PipelineCouplingUpdate>,
) -> ApiResult {
    let (row, pipeline) = find(&state, &actor, &coupling, Verb::Write).await?;
    let Some(stage) = asked.stage else {
        return Ok(ok(&wire(&row, &pipeline)));
    };
    let (id, stage) = (row.id, pipeline::parse_stage(&stage)?);
    let row = state
        .ctx
        .store
        .write(move |tx| tx.move_coupling(id, stage, Timestamp::now()))
        .await?;
    let what = format!("Moved to {stage} of pipeline {}", pipeline.name);
    say(&state, &actor, &row, &what);
    Ok(ok(&wire(&row, &pipeline)))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(coupling): Path<String>,
) -> ApiResult {
    let (row, pipeline) = find(&state, &actor, &coupling, Verb::Write).await?;
    let id = row.id;
    state.ctx.store.write(move |tx| tx.uncouple(id)).await?;
    let what = format!("Removed from pipeline {}", pipeline.name);
    say(&state, &actor, &row, &what);
    Ok(ok(&wire(&row, &pipeline)))
}

/// A coupling by id. Who may see or change the pipeline may do so with what is in it.
async fn find(
    state: &State,
    actor: &Actor,
    id: &str,
    verb: Verb,
) -> ApiResult<(store::Coupling, store::Pipeline)> {
    let absent = || ApiError::not_found("pipeline_coupling");
    let id: CouplingId = id.parse().map_err(|_| absent())?;
    let row = state.ctx.store.read(move |view| view.coupling(id)).await?;
    let name = row.pipeline.to_string();
    let pipeline = pipeline::find(state, actor, &name, verb).await;
    match pipeline {
        Ok(pipeline) => Ok((row, pipeline)),
        Err(error) if error.status() == http::StatusCode::NOT_FOUND => Err(absent()),
        Err(error) => Err(error),
    }
}

fn say(state: &State, actor: &Actor, row: &store::Coupling, text: &str) {
    state.ctx.say_who(row.app, &actor.user, text);
}

fn wire(row: &store::Coupling, pipeline: &store::Pipeline) -> PipelineCoupling {
    PipelineCoupling {
        id: row.id.0,
        app: ById { id: row.app.0 },
        pipeline: PipelineRef {
            id: pipeline.id.0,
            name: pipeline.name.to_string(),
        },
        stage: match row.stage {
            Stage::Test => Wire::Test,
            Stage::Review => Wire::Review,
            Stage::Development => Wire::Development,
            Stage::Staging => Wire::Staging,
            Stage::Production => Wire::Production,
        },
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
