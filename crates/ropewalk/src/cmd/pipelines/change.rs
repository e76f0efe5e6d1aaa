//! `pipelines:create`, `:add`, `:remove`, `:update`, `:rename`, `:destroy`: which pipelines there are, and what is in them.

use std::process::ExitCode;

use ropewalk_client::Client;
use ropewalk_client::types::pipeline::{Pipeline, PipelineCoupling};

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::pipelines::{StageArg, coupling};
use crate::ui::{Failure, prompt};

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the pipeline
    #[arg(value_name = "NAME")]
    name: String,
    /// Stage of the app that is added to it
    #[arg(short, long, value_name = "STAGE")]
    stage: Option<StageArg>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// Makes the pipeline, and puts an app into it where one is named.
pub(crate) async fn create(cx: &Context, args: CreateArgs) -> anyhow::Result<ExitCode> {
    let wanted = match (
        args.app.app.is_some() || args.app.remote.is_some(),
        args.stage,
    ) {
        (true, Some(stage)) => Some((cx.app(&args.app).await?, stage)),
        (true, None) => {
            return Err(Failure::usage("Which stage is the app at?")
                .hint("Say it: --stage development, staging or production.")
                .into());
        }
        (false, Some(_)) => {
            return Err(Failure::usage("Which app is at that stage?")
                .hint("Name it: -a APP.")
                .into());
        }
        (false, None) => None,
    };
    let client = cx.client()?;
    let action = cx.out.action(&format!("Creating {} pipeline", args.name));
    let made = client.create_pipeline(&args.name).await?;
    action.done()?;
    if let Some((app, stage)) = wanted {
        put(cx, &client, &made, &app, stage).await?;
    }
    args.json.print(cx, &made)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// Stage of the app
    #[arg(short, long, value_name = "STAGE")]
    stage: StageArg,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let pipeline = client.pipeline(&args.pipeline).await?;
    let made = put(cx, &client, &pipeline, &app, args.stage).await?;
    args.json.print(cx, &made)?;
    Ok(ExitCode::SUCCESS)
}

async fn put(
    cx: &Context,
    client: &Client,
    pipeline: &Pipeline,
    app: &str,
    stage: StageArg,
) -> anyhow::Result<PipelineCoupling> {
    let stage = stage.into();
    let action = cx.out.action(&format!(
        "Adding {} to {} pipeline as {stage}",
        cx.out.paint_err().app(app),
        pipeline.name
    ));
    let made = client.couple(app, &pipeline.id.to_string(), stage).await?;
    action.done()?;
    Ok(made)
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let coupling = coupling(&client, &app).await?;
    let action = cx.out.action(&format!(
        "Removing {} from {} pipeline",
        cx.out.paint_err().app(&app),
        coupling.pipeline.name
    ));
    let last = client.uncouple(&coupling.id.to_string()).await?;
    action.done()?;
    args.json.print(cx, &last)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    /// The app's new stage
    #[arg(short, long, value_name = "STAGE")]
    stage: StageArg,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn update(cx: &Context, args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let coupling = coupling(&client, &app).await?;
    let stage = args.stage.into();
    let action = cx.out.action(&format!(
        "Changing {} to {stage}",
        cx.out.paint_err().app(&app)
    ));
    let moved = client
        .update_coupling(&coupling.id.to_string(), stage)
        .await?;
    action.done()?;
    args.json.print(cx, &moved)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct RenameArgs {
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// Its new name
    #[arg(value_name = "NEW_NAME")]
    name: String,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn rename(cx: &Context, args: RenameArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = client.pipeline(&args.pipeline).await?;
    let action = cx.out.action(&format!(
        "Renaming {} pipeline to {}",
        pipeline.name, args.name
    ));
    let renamed = client
        .rename_pipeline(&pipeline.id.to_string(), &args.name)
        .await?;
    action.done()?;
    args.json.print(cx, &renamed)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct DestroyArgs {
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// The pipeline's name, instead of typing it when asked
    #[arg(short, long, value_name = "PIPELINE")]
    confirm: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

/// Its apps stay.
pub(crate) async fn destroy(cx: &Context, args: DestroyArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    // The server's name of it: what was typed may be its id, and must exist before we ask.
    let pipeline = client.pipeline(&args.pipeline).await?;
    let name = &pipeline.name;
    let typed = match args.confirm {
        Some(typed) => typed,
        None => {
            let shown = cx.out.paint_err().bad(name);
            cx.out.remark(&format!(
                "WARNING: This will delete the pipeline {shown} with its test runs and config vars. Its apps stay.\nTo proceed, type {shown} or re-run this command with\n--confirm {shown}"
            ))?;
            prompt::ask("> ")?
        }
    };
    if typed.trim() != name {
        return Err(Failure::new(format!("Confirmation did not match {name}. Aborted.")).into());
    }
    let action = cx.out.action(&format!("Destroying {name} pipeline"));
    let last = client.delete_pipeline(&pipeline.id.to_string()).await?;
    action.done()?;
    args.json.print(cx, &last)?;
    Ok(ExitCode::SUCCESS)
}
