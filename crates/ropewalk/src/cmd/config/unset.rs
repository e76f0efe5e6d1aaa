//! `config:unset`: config vars away, one release for all of them.

use std::process::ExitCode;

use ropewalk_client::types::config_var::ConfigVarsUpdate;

use crate::cmd::config::finish;
use crate::cmd::context::{AppArgs, Context};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of the config vars
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let keys: Vec<String> = args.keys.iter().map(|key| paint.key(key)).collect();
    let action = cx.out.action(&format!(
        "Unsetting {} and restarting {}",
        keys.join(", "),
        paint.app(&app)
    ));
    let update: ConfigVarsUpdate = args.keys.into_iter().map(|key| (key, None)).collect();
    client.update_config_vars(&app, &update).await?;
    finish(action, &client, &app).await?;
    Ok(ExitCode::SUCCESS)
}
