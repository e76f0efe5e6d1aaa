//! `/pipelines`: apps that carry the same code; and [`find`], the only way to somebody's pipeline.
//!
//! Whoever owns or works on an app in a pipeline works on the pipeline, as a collaborator does on an app.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{Query, State as Shared};
use jiff::Timestamp;
use ropewalk_api_types::pipeline::{
    Pipeline, PipelineCreate, PipelineOwner, PipelineStack, PipelineTransfer,
    PipelineTransferCreate, PipelineUpdate,
};
use ropewalk_api_types::{ById, Named};
use ropewalk_model::pipeline::{PipelineName, Stage};
use ropewalk_model::{PipelineId, UserId};
use ropewalk_store as store;
use serde_json::Value;
use uuid::Uuid;

use crate::authorise::{Actor, Denied, Relation, Resource, Verb, authorise};
use crate::resource::path::Path;
use crate::resource::{config_var, generation, stack};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Pipeline>; 4] = [
    ("id", |pipeline| Key::Text(pipeline.id.to_string())),
    ("name", |pipeline| Key::Text(pipeline.name.clone())),
    ("created_at", |pipeline| Key::Time(pipeline.created_at)),
    ("updated_at", |pipeline| Key::Time(pipeline.updated_at)),
];

/// The pipeline of that name or id, if `actor` may `verb` it; anything else looks as if it were not there.
pub(crate) async fn find(
    state: &State,
    actor: &Actor,
    name_or_id: &str,
    verb: Verb,
) -> ApiResult<store::Pipeline> {
    find_for(state, actor, name_or_id, verb, Resource::App).await
}

/// The same for whatever `resource` makes of the actor's relation to the pipeline.
pub(crate) async fn find_for(
    state: &State,
    actor: &Actor,
    name_or_id: &str,
    verb: Verb,
    resource: impl FnOnce(Relation) -> Resource,
) -> ApiResult<store::Pipeline> {
    let (key, user) = (name_or_id.to_owned(), actor.user.id);
    let (pipeline, relation) = state
        .ctx
        .store
        .read(move |view| {
            let pipeline = view.find_pipeline(&key)?;
            let relation = view.pipeline_relation(user, &pipeline)?;
            Ok((pipeline, relation))
        })
        .await?;
    authorise(actor, verb, resource(relation)).map_err(denied)?;
    Ok(pipeline)
}

fn denied(denied: Denied) -> ApiError {
    match denied {
        Denied::Hidden => ApiError::not_found("pipeline"),
        Denied::NotOwner => {
            ApiError::forbidden("Only the owner of the pipeline and administrators may do that.")
        }
        denied => denied.into(),
    }
}

/// Those that the actor may see.
pub(crate) async fn visible(state: &State, actor: &Actor) -> ApiResult<Vec<store::Pipeline>> {
    authorise(actor, Verb::Read, Resource::App(Relation::Owner))?;
    let user = actor.user.id;
    let pipelines = state
        .ctx
        .store
        .read(move |view| {
            view.pipelines()?
                .into_iter()
                .map(|pipeline| Ok((view.pipeline_relation(user, &pipeline)?, pipeline)))
                .collect::<store::Result<Vec<_>>>()
        })
        .await?;
    Ok(pipelines
        .into_iter()
        .filter(|(relation, _)| authorise(actor, Verb::Read, Resource::App(*relation)).is_ok())
        .map(|(_, pipeline)| pipeline)
        .collect())
}

/// `GET /pipelines`, and `?eq[name]=` for the one of that name.
pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Query(query): Query<HashMap<String, String>>,
    wanted: Wanted,
) -> ApiResult {
    let mut pipelines = visible(&state, &actor).await?;
    for (key, value) in &query {
        match key.as_str() {
            "eq[name]" => pipelines.retain(|pipeline| pipeline.name.as_str() == value),
            "eq[id]" => pipelines.retain(|pipeline| pipeline.id.to_string() == *value),
            _ => {
                return Err(ApiError::bad_request(
                    "Pipelines are looked up by eq[name] and eq[id] only.",
                ));
            }
        }
    }
    wanted.page(pipelines.iter().map(wire).collect(), &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(pipeline): Path<String>,
) -> ApiResult {
    Ok(ok(&wire(
        &find(&state, &actor, &pipeline, Verb::Read).await?,
    )))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<PipelineCreate>,
) -> ApiResult {
    authorise(&actor, Verb::Write, Resource::NewApp)?;
    let name = parse_name(&asked.name)?;
    if let Some(owner) = &asked.owner {
        check_user(owner)?;
        if owner.id != actor.user.id.0 {
            return Err(ApiError::invalid(
                "A pipeline belongs to whoever makes it; give it away afterwards.",
            ));
        }
    }
    let (id, owner) = (PipelineId(Uuid::new_v4()), actor.user.id);
    let made = state
        .ctx
        .store
        .write(move |tx| tx.create_pipeline(id, &name, owner, Timestamp::now()))
        .await?;
    Ok(created(&wire(&made)))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(pipeline): Path<String>,
    Json(asked): Json<PipelineUpdate>,
) -> ApiResult {
    let pipeline = find_for(&state, &actor, &pipeline, Verb::Write, Resource::Ownership).await?;
    let Some(name) = asked.name else {
        return Ok(ok(&wire(&pipeline)));
    };
    let (id, name) = (pipeline.id, parse_name(&name)?);
    let renamed = state
        .ctx
        .store
        .write(move |tx| tx.rename_pipeline(id, &name, Timestamp::now()))
        .await?;
    Ok(ok(&wire(&renamed)))
}

/// Its apps stay as they are.
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(pipeline): Path<String>,
) -> ApiResult {
    let pipeline = find_for(&state, &actor, &pipeline, Verb::Write, Resource::Ownership).await?;
    let id = pipeline.id;
    state
        .ctx
        .store
        .write(move |tx| tx.delete_pipeline(id))
        .await?;
    state.ctx.platform.pipeline_deleted(id);
    Ok(ok(&wire(&pipeline)))
}

/// `POST /pipeline-transfers`: to another account of this server.
pub(crate) async fn transfer(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<PipelineTransferCreate>,
) -> ApiResult {
    let key = &asked.pipeline.id;
    let pipeline = find_for(&state, &actor, key, Verb::Write, Resource::Ownership).await?;
    let Some(to) = asked.new_owner else {
        return Err(ApiError::invalid("`new_owner` is missing."));
    };
    check_user(&to)?;
    let (id, owner) = (pipeline.id, UserId(to.id));
    let given = state
        .ctx
        .store
        .write(move |tx| {
            let owner = tx.find_user(&owner.to_string())?.id;
            tx.give_pipeline(id, owner, Timestamp::now())
        })
        .await?;
    Ok(created(&PipelineTransfer {
        pipeline: ById { id: id.0 },
        previous_owner: owner_of(&pipeline),
        new_owner: owner_of(&given),
    }))
}

/// `GET /pipelines/:id/pipeline-stack`: of what is built for the pipeline itself, which is what test runs are.
pub(crate) async fn pipeline_stack(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(pipeline): Path<String>,
) -> ApiResult {
    let pipeline = find(&state, &actor, &pipeline, Verb::Read).await?;
    let name = stack_of(&state, pipeline.id).await?;
    Ok(ok(&PipelineStack {
        stack: Some(stack::named(&name)),
    }))
}

/// That of the app that is furthest along; without apps, that of new apps.
pub(crate) async fn stack_of(state: &State, pipeline: PipelineId) -> ApiResult<String> {
    let found = state
        .ctx
        .store
        .read(move |view| {
            let couplings = view.couplings_of(pipeline)?;
            let furthest = couplings.iter().max_by_key(|coupling| coupling.stage);
            furthest
                .map(|coupling| Ok(view.app(coupling.app)?.stack))
                .transpose()
        })
        .await?;
    Ok(found.unwrap_or_else(|| state.ctx.default_stack.clone()))
}

/// `GET /pipelines/:id/stage/:stage/config-vars`
pub(crate) async fn config(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((pipeline, stage)): Path<(String, String)>,
) -> ApiResult {
    let pipeline = find_for(&state, &actor, &pipeline, Verb::Read, Resource::Config).await?;
    let stage = parse_stage(&stage)?;
    let vars = state
        .ctx
        .store
        .read(move |view| view.stage_config(pipeline.id, stage))
        .await?;
    Ok(ok(&vars.0))
}

/// Changes what is named; `null` removes. Apps at that stage keep their own config vars: these are for what the
/// pipeline makes by itself.
pub(crate) async fn update_config(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((pipeline, stage)): Path<(String, String)>,
    Json(asked): Json<BTreeMap<String, Value>>,
) -> ApiResult {
    let pipeline = find_for(&state, &actor, &pipeline, Verb::Write, Resource::Config).await?;
    let (id, stage) = (pipeline.id, parse_stage(&stage)?);
    let patch = config_var::patch(asked)?;
    let vars = state
        .ctx
        .store
        .write(move |tx| {
            let (vars, change) = tx.stage_config(id, stage)?.patched(&patch)?;
            if !change.is_empty() {
                tx.set_stage_config(id, stage, &vars, Timestamp::now())?;
            }
            Ok(vars)
        })
        .await?;
    Ok(ok(&vars.0))
}

pub(crate) fn parse_stage(text: &str) -> ApiResult<Stage> {
    Stage::parse(text).map_err(|error| ApiError::invalid(error.to_string()))
}

fn parse_name(text: &str) -> ApiResult<PipelineName> {
    PipelineName::parse(text).map_err(|error| ApiError::invalid(error.to_string()))
}

fn check_user(owner: &PipelineOwner) -> ApiResult<()> {
    match owner.owner_type.as_str() {
        "user" => Ok(()),
        "team" => Err(ApiError::invalid(
            "Teams are not available here. Pipelines belong to single accounts: send the type user.",
        )),
        _ => Err(ApiError::invalid("An owner's `type` must be user.")),
    }
}

fn owner_of(row: &store::Pipeline) -> PipelineOwner {
    PipelineOwner {
        id: row.owner.0,
        owner_type: "user".to_owned(),
    }
}

fn wire(row: &store::Pipeline) -> Pipeline {
    let generation: Named = generation::named();
    Pipeline {
        id: row.id.0,
        name: row.name.to_string(),
        owner: Some(owner_of(row)),
        generation: Some(generation),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
