//! `ci:config`, `ci:config:*`: the config vars of a pipeline's test runs.

use std::process::ExitCode;

use ropewalk_client::types::ConfigVars;
use ropewalk_client::types::config_var::ConfigVarsUpdate;
use ropewalk_client::types::pipeline::Stage;

use crate::cmd::config::list::quote;
use crate::cmd::config::set::parse;
use crate::cmd::context::{Context, JsonArgs};
use crate::cmd::pipelines::PipelineArgs;
use crate::ui::{json, table};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Output in the form KEY='value' that a shell reads
    #[arg(short, long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let vars = client
        .stage_config(&pipeline.id.to_string(), Stage::Test)
        .await?;
    if args.json.json {
        json::print(&cx.out, &vars)?;
    } else if args.shell {
        for (key, value) in &vars {
            cx.out.line(&format!("{key}={}", quote(value)))?;
        }
    } else if vars.is_empty() {
        cx.out
            .line(&format!("{} has no test config vars.", pipeline.name))?;
    } else {
        cx.out
            .heading(&format!("{} test config vars", pipeline.name))?;
        show(cx, vars)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Name of the config var
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Output in the form KEY='value' that a shell reads
    #[arg(short, long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    json: JsonArgs,
}

/// A config var that is not there prints an empty line and exits 1, so that scripts can tell.
pub(crate) async fn get(cx: &Context, args: GetArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let pipeline = args.pipeline.find(cx, &client).await?;
    let mut vars = client
        .stage_config(&pipeline.id.to_string(), Stage::Test)
        .await?;
    vars.retain(|key, _| *key == args.key);
    let value = vars.get(&args.key).cloned();
    let text = value.clone().unwrap_or_default();
    if args.json.json {
        json::print(&cx.out, &vars)?;
    } else if args.shell {
        cx.out.line(&format!("{}={}", args.key, quote(&text)))?;
    } else {
        cx.out.line(&text)?;
    }
    Ok(match value {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Pairs; the value starts behind the first `=` and may hold anything
    #[arg(value_name = "KEY=VALUE", required = true)]
    pairs: Vec<String>,
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    let update = parse(&args.pairs, "ci:config:unset")?;
    let mut vars = change(cx, &args.pipeline, "Setting", &update).await?;
    vars.retain(|key, _| update.contains_key(key));
    match args.json.json {
        true => json::print(&cx.out, &vars)?,
        false => show(cx, vars)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct UnsetArgs {
    /// Names of the config vars
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn unset(cx: &Context, args: UnsetArgs) -> anyhow::Result<ExitCode> {
    let update: ConfigVarsUpdate = args.keys.into_iter().map(|key| (key, None)).collect();
    let left = change(cx, &args.pipeline, "Unsetting", &update).await?;
    args.json.print(cx, &left)?;
    Ok(ExitCode::SUCCESS)
}

async fn change(
    cx: &Context,
    pipeline: &PipelineArgs,
    doing: &str,
    update: &ConfigVarsUpdate,
) -> anyhow::Result<ConfigVars> {
    let client = cx.client()?;
    let pipeline = pipeline.find(cx, &client).await?;
    let paint = cx.out.paint_err();
    let keys: Vec<String> = update.keys().map(|key| paint.key(key)).collect();
    let action = cx.out.action(&format!("{doing} {}", keys.join(", ")));
    let vars = client
        .update_stage_config(&pipeline.id.to_string(), Stage::Test, update)
        .await?;
    action.done()?;
    Ok(vars)
}

fn show(cx: &Context, vars: ConfigVars) -> std::io::Result<()> {
    let paint = cx.out.paint();
    let pairs: Vec<(String, String)> = vars
        .into_iter()
        .map(|(key, value)| (paint.key(&key), value))
        .collect();
    cx.out.line(&table::object(&pairs))
}
