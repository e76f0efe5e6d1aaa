//! `config:unset`: config vars away, one release for all of them.

use std::process::ExitCode;

use ropewalk_client::types::config_var::ConfigVarsUpdate;

use crate::cmd::config::{WaitArgs, change};
use crate::cmd::context::{AppArgs, Context, JsonArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of the config vars
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let update: ConfigVarsUpdate = args.keys.into_iter().map(|key| (key, None)).collect();
    let left = change(cx, &client, &app, "Unsetting", &update, args.wait).await?;
    args.json.print(cx, &left)?;
    Ok(ExitCode::SUCCESS)
}
