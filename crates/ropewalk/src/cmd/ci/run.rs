//! `ci:run`, `ci:rerun`: the tests of what is committed here, run on the server.

use std::process::ExitCode;

use ropewalk_client::Client;
use ropewalk_client::types::pipeline::Pipeline;
use ropewalk_client::types::test_run::TestRunCreate;

use crate::cmd::builds::create::{archive, git, send};
use crate::cmd::ci::{follow, newest};
use crate::cmd::context::{Context, JsonArgs};
use crate::cmd::pipelines::PipelineArgs;
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RerunArgs {
    /// Number of the test run; without it, the newest
    #[arg(value_name = "NUMBER")]
    number: Option<u32>,
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// A commit whose tests are run.
struct Commit {
    branch: String,
    message: String,
    /// What git calls it here.
    name: String,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let branch = git(&["rev-parse", "--abbrev-ref", "HEAD"]).await?;
    let message = git(&["log", "-1", "--format=%s", "HEAD"]).await?;
    let commit = Commit {
        branch: branch.unwrap_or_else(|| "HEAD".to_owned()),
        message: message.unwrap_or_default(),
        name: "HEAD".to_owned(),
    };
    begin(cx, &client, &pipeline, commit, args.json).await
}

/// The commit of an earlier run once more, with the config vars of now.
pub(crate) async fn rerun(cx: &Context, args: RerunArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let before = match args.number {
        Some(number) => {
            client
                .test_run_by_number(&pipeline.id.to_string(), number)
                .await?
        }
        None => newest(&client, &pipeline).await?,
    };
    let looked_up = format!("{}^{{commit}}", before.commit_sha);
    let known = git(&[
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &looked_up,
    ])
    .await?;
    let Some(name) = known else {
        return Err(Failure::new(format!(
            "The commit of test run #{} is not here: {}.",
            before.number, before.commit_sha
        ))
        .hint("Fetch it with git, or run the tests of what is committed here: ropewalk ci:run.")
        .into());
    };
    cx.out
        .note(&format!("Rerunning test run #{}...", before.number))?;
    let commit = Commit {
        branch: before.commit_branch,
        message: before.commit_message,
        name,
    };
    begin(cx, &client, &pipeline, commit, args.json).await
}

async fn begin(
    cx: &Context,
    client: &Client,
    pipeline: &Pipeline,
    commit: Commit,
    wanted: JsonArgs,
) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("source.tgz");
    let sha = archive(cx, &commit.name, &file, "Commit first: git commit.").await?;
    let url = send(cx, client, &file).await?;
    let action = cx.out.action("Starting test run");
    let create = TestRunCreate {
        commit_branch: commit.branch,
        commit_message: commit.message,
        commit_sha: sha,
        debug: None,
        organization: None,
        pipeline: pipeline.id.to_string(),
        source_blob_url: url,
    };
    let made = client.create_test_run(&create).await?;
    action.done_with(&format!("#{}", made.number))?;
    follow(cx, client, &made, wanted).await
}
