//! `ci`, `ci:*`: a pipeline's tests, and how they ended.

pub(crate) mod config;
pub(crate) mod run;

use std::process::ExitCode;

use ropewalk_client::Client;
use ropewalk_client::types::TestRun;
use ropewalk_client::types::pipeline::Pipeline;
use ropewalk_client::types::test_run::{TestNode, TestStatus};

use crate::cmd::context::{Context, JsonArgs};
use crate::cmd::pipelines::PipelineArgs;
use crate::cmd::releases::show_output;
use crate::ui::table::Table;
use crate::ui::{Failure, Paint, json};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Number of test runs to show
    #[arg(short, long, value_name = "NUM", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    num: u32,
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let runs = client.test_runs(&pipeline.id.to_string(), args.num).await?;
    if args.json.json {
        json::print(&cx.out, &runs)?;
        return Ok(ExitCode::SUCCESS);
    }
    if runs.is_empty() {
        cx.out
            .line(&format!("{} has no test runs.", pipeline.name))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading(&format!(
        "Showing latest test runs for the {} pipeline",
        pipeline.name
    ))?;
    let mut table = Table::bare();
    for run in &runs {
        let paint = cx.out.paint();
        table.row([
            icon(run.status, paint),
            format!("#{}", run.number),
            run.commit_branch.clone(),
            short(&run.commit_sha),
            run.status.to_string(),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// Number of the test run
    #[arg(value_name = "NUMBER")]
    number: u32,
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LastArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// What a run said, from its first line on, and how it ended.
pub(crate) async fn info(cx: &Context, args: InfoArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let run = client
        .test_run_by_number(&pipeline.id.to_string(), args.number)
        .await?;
    show(cx, &client, &run, args.json).await
}

pub(crate) async fn last(cx: &Context, args: LastArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let run = newest(&client, &pipeline).await?;
    show(cx, &client, &run, args.json).await
}

pub(crate) async fn newest(client: &Client, pipeline: &Pipeline) -> anyhow::Result<TestRun> {
    let newest = client.test_runs(&pipeline.id.to_string(), 1).await?;
    let none = || {
        Failure::new(format!("{} has no test runs.", pipeline.name))
            .hint("Run the tests of what is committed here: ropewalk ci:run.")
    };
    Ok(newest.into_iter().next().ok_or_else(none)?)
}

/// Shows a run to its end, and exits as its tests did.
async fn show(
    cx: &Context,
    client: &Client,
    run: &TestRun,
    wanted: JsonArgs,
) -> anyhow::Result<ExitCode> {
    let id = run.id.to_string();
    if wanted.json {
        let nodes = client.test_nodes(&id).await?;
        let all = serde_json::json!({"testRun": run, "testNode": nodes.first()});
        json::print(&cx.out, &all)?;
        return Ok(exit_code(run, nodes.first()));
    }
    follow(cx, client, run, wanted).await
}

/// Shows setup and tests as they are told, then how the run ended.
pub(crate) async fn follow(
    cx: &Context,
    client: &Client,
    run: &TestRun,
    wanted: JsonArgs,
) -> anyhow::Result<ExitCode> {
    let id = run.id.to_string();
    let node = client.test_nodes(&id).await?.into_iter().next();
    let node = node.ok_or_else(|| Failure::new("The test run has no node."))?;
    for url in [&node.setup_stream_url, &node.output_stream_url] {
        // Outputs are kept for a while only.
        if let Err(error) = show_output(cx, client, url, wanted).await {
            match run.status.is_over() {
                true => cx.out.remark("Its output is not kept any more.")?,
                false => return Err(error),
            }
        }
    }
    // The streams only tell; the run itself knows.
    let run = client.test_run(&id).await?;
    let nodes = client.test_nodes(&id).await?;
    if wanted.json {
        let all = serde_json::json!({"testRun": run, "testNode": nodes.first()});
        json::print(&cx.out, &all)?;
    } else {
        cx.out.line(&format!("\n{}", line(&run, cx.out.paint())))?;
    }
    Ok(exit_code(&run, nodes.first()))
}

/// `✓ #7 main:1a2b3c4 succeeded`
fn line(run: &TestRun, paint: Paint) -> String {
    format!(
        "{} #{} {}:{} {}",
        icon(run.status, paint),
        run.number,
        run.commit_branch,
        short(&run.commit_sha),
        run.status
    )
}

/// As the tests exited; 1 for a run without a verdict.
fn exit_code(run: &TestRun, node: Option<&TestNode>) -> ExitCode {
    let code = node.and_then(|node| node.exit_code);
    match (run.status, code) {
        (TestStatus::Succeeded, _) => ExitCode::SUCCESS,
        (TestStatus::Failed, Some(code @ 1..=255)) => {
            u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        (status, _) => match status.is_over() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
    }
}

fn icon(status: TestStatus, paint: Paint) -> String {
    match status {
        TestStatus::Succeeded => paint.good("\u{2713}"),
        TestStatus::Failed => paint.bad("\u{2717}"),
        TestStatus::Errored | TestStatus::Cancelled => paint.bad("!"),
        _ => paint.warning("\u{22ef}"),
    }
}

fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}
