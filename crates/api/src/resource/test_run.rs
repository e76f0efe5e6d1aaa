//! `/test-runs`: a pipeline's tests, run once. Who may push to the pipeline's apps may run them.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::test_run::{
    TestCase, TestDyno, TestNode, TestRun, TestRunCreate, TestRunUpdate, TestStatus as Wire,
};
use ropewalk_api_types::{ById, UserRef};
use ropewalk_model::TestRunId;
use ropewalk_model::test_run::TestStatus;
use ropewalk_store as store;
use ropewalk_store::View;

use crate::authorise::{Actor, Verb};
use crate::builds::{Origin, TestRequest};
use crate::context::Context;
use crate::grant::Grant;
use crate::resource::path::Path;
use crate::resource::{blob, build, output, pipeline};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};
use crate::transport::text;

const ATTRIBUTES: [Attribute<store::TestRun>; 3] = [
    ("number", |run| Key::Number(run.number.into())),
    ("id", |run| Key::Text(run.id.to_string())),
    ("created_at", |run| Key::Time(run.created_at)),
];

const NODE_ATTRIBUTES: [Attribute<TestNode>; 1] = [("id", |node| Key::Text(node.id.to_string()))];

const CASE_ATTRIBUTES: [Attribute<TestCase>; 2] = [
    ("number", |case| Key::Number(case.number.into())),
    ("id", |case| Key::Text(case.id.to_string())),
];

/// `GET /pipelines/:id/test-runs`
pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(name): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let pipeline = pipeline::find(&state, &actor, &name, Verb::Read).await?;
    let rows = state
        .ctx
        .store
        .read(move |view| view.test_runs(pipeline.id))
        .await?;
    let page = wanted.select(rows, &ATTRIBUTES)?;
    let rows = page.items;
    let wires = state
        .ctx
        .store
        .read(move |view| {
            rows.iter()
                .map(|row| wire(view, row))
                .collect::<store::Result<Vec<_>>>()
        })
        .await?;
    Ok(page.head.answer(&wires))
}

/// `GET /pipelines/:id/test-runs/:number`
pub(crate) async fn info_by_number(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((name, number)): Path<(String, String)>,
) -> ApiResult {
    let pipeline = pipeline::find(&state, &actor, &name, Verb::Read).await?;
    let number: u32 = number
        .parse()
        .map_err(|_| ApiError::not_found("test_run"))?;
    let run = state
        .ctx
        .store
        .read(move |view| {
            let row = view.test_run_by_number(pipeline.id, number)?;
            wire(view, &row)
        })
        .await?;
    Ok(ok(&run))
}

/// `GET /test-runs/:id`
pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(run): Path<String>,
) -> ApiResult {
    let row = find(&state, &actor, &run, Verb::Read).await?;
    show(&state, row.id).await.map(|run| ok(&run))
}

/// Begins a run; what becomes of it is told by its status and its nodes' outputs.
pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Json(asked): Json<TestRunCreate>,
) -> ApiResult {
    let pipeline = pipeline::find(&state, &actor, &asked.pipeline, Verb::Write).await?;
    if asked.debug == Some(true) {
        return Err(ApiError::invalid(
            "Test runs cannot be debugged here. Run the tests in a one-off dyno of an app: `ropewalk run bash`.",
        ));
    }
    if asked.organization.is_some() {
        return Err(ApiError::invalid(
            "Teams are not available here: leave `organization` out.",
        ));
    }
    let line = |what: &str, value: String| {
        text::version(what, Some(value))?
            .ok_or_else(|| ApiError::invalid(format!("`{what}` is missing.")))
    };
    build::check_url("source_blob_url", &asked.source_blob_url)?;
    let request = TestRequest {
        pipeline: pipeline.id,
        user: actor.user.id,
        origin: match blob::source_of(&state.ctx, &asked.source_blob_url)? {
            Some((account, source)) => Origin::Source { account, source },
            None => Origin::Elsewhere,
        },
        url: asked.source_blob_url,
        stack: pipeline::stack_of(&state, pipeline.id).await?,
        commit_branch: line("commit_branch", asked.commit_branch)?,
        commit_message: text::description("commit_message", Some(asked.commit_message))?
            .unwrap_or_default(),
        commit_sha: line("commit_sha", asked.commit_sha)?,
    };
    let id = state.ctx.platform.test(request).await?;
    show(&state, id).await.map(|run| created(&run))
}

/// Ends a run under way: `{"status": "cancelled"}`.
pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(run): Path<String>,
    Json(asked): Json<TestRunUpdate>,
) -> ApiResult {
    let row = find(&state, &actor, &run, Verb::Write).await?;
    let id = row.id;
    if asked.status.as_deref() != Some("cancelled") {
        return Err(ApiError::invalid(
            "A test run's `status` can be changed to cancelled only.",
        ));
    }
    let said = text::description("message", asked.message)?;
    let message = said.unwrap_or_else(|| format!("Cancelled by user {}", actor.user.email));
    let cancelled = state
        .ctx
        .store
        .write(move |tx| {
            tx.set_test_status(id, TestStatus::Cancelled, Some(&message), Timestamp::now())
        })
        .await?;
    if !cancelled {
        return Err(ApiError::invalid(
            "That test run is not under way (any more).",
        ));
    }
    state.ctx.platform.cancel_test(id);
    show(&state, id).await.map(|run| ok(&run))
}

/// `GET /test-runs/:id/test-nodes`: there is one.
pub(crate) async fn nodes(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(run): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let row = find(&state, &actor, &run, Verb::Read).await?;
    let grant = Grant::of_pipeline(&actor, row.pipeline);
    let node = wire_node(&state.ctx, grant, &row);
    wanted.page(vec![node], &NODE_ATTRIBUTES)
}

/// `GET /test-runs/:id/test-cases`: those of tests that speak TAP, once they have ended.
pub(crate) async fn cases(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(run): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let row = find(&state, &actor, &run, Verb::Read).await?;
    let id = row.id;
    let cases = state
        .ctx
        .store
        .read(move |view| view.test_cases(id))
        .await?;
    let wires = cases.into_iter().map(|case| wire_case(&row, case));
    wanted.page(wires.collect(), &CASE_ATTRIBUTES)
}

async fn find(state: &State, actor: &Actor, id: &str, verb: Verb) -> ApiResult<store::TestRun> {
    let absent = || ApiError::not_found("test_run");
    let id: TestRunId = id.parse().map_err(|_| absent())?;
    let row = state.ctx.store.read(move |view| view.test_run(id)).await?;
    match pipeline::find(state, actor, &row.pipeline.to_string(), verb).await {
        Ok(_) => Ok(row),
        Err(error) if error.status() == http::StatusCode::NOT_FOUND => Err(absent()),
        Err(error) => Err(error),
    }
}

async fn show(state: &State, id: TestRunId) -> ApiResult<TestRun> {
    Ok(state
        .ctx
        .store
        .read(move |view| wire(view, &view.test_run(id)?))
        .await?)
}

fn wire(view: &View<'_>, row: &store::TestRun) -> store::Result<TestRun> {
    let user = view.user(row.user)?;
    Ok(TestRun {
        id: row.id.0,
        actor_email: user.email.clone(),
        clear_cache: None,
        commit_branch: row.commit_branch.clone(),
        commit_message: row.commit_message.clone(),
        commit_sha: row.commit_sha.clone(),
        debug: false,
        app_setup: None,
        dyno: None,
        message: row.message.clone(),
        number: row.number,
        organization: None,
        pipeline: ById { id: row.pipeline.0 },
        status: status(row.status),
        source_blob_url: row.source_url.clone(),
        user: UserRef {
            id: user.id.0,
            email: user.email,
        },
        warning_message: None,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn wire_node(ctx: &Context, grant: Grant, row: &store::TestRun) -> TestNode {
    let errored = row.status == TestStatus::Errored;
    TestNode {
        id: row.node.0,
        dyno: row.dyno.map(|dyno| TestDyno {
            id: dyno.0,
            attach_url: None,
        }),
        error_status: errored.then(|| match row.dyno {
            Some(_) => "running".to_owned(),
            None => "building".to_owned(),
        }),
        exit_code: row.exit_code,
        index: 0,
        message: row.message.clone(),
        output_stream_url: output::url(ctx, grant, row.node.0),
        pipeline: ById { id: row.pipeline.0 },
        setup_stream_url: output::url(ctx, grant, row.id.0),
        status: status(row.status),
        test_run: ById { id: row.id.0 },
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn wire_case(run: &store::TestRun, case: store::TestCase) -> TestCase {
    TestCase {
        id: case.id,
        description: case.description,
        diagnostic: case.diagnostic,
        directive: case.directive,
        passed: case.passed,
        number: case.number,
        test_node: ById { id: run.node.0 },
        test_run: ById { id: run.id.0 },
        created_at: case.created_at,
        updated_at: case.created_at,
    }
}

fn status(status: TestStatus) -> Wire {
    match status {
        TestStatus::Pending => Wire::Pending,
        TestStatus::Creating => Wire::Creating,
        TestStatus::Building => Wire::Building,
        TestStatus::Running => Wire::Running,
        TestStatus::Succeeded => Wire::Succeeded,
        TestStatus::Failed => Wire::Failed,
        TestStatus::Errored => Wire::Errored,
        TestStatus::Cancelled => Wire::Cancelled,
    }
}
