//! `config:get`: the bare value of one config var, for scripts.

use std::process::ExitCode;

use ropewalk_client::types::ConfigVars;

use crate::cmd::config::list::quote;
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the config var; several print one value a line
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    /// Output in the form KEY='value' that a shell reads
    #[arg(short, long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    json: JsonArgs,
}

/// A config var that is not there prints an empty line and exits 1, so that scripts can tell.
pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let vars = cx.client()?.config_vars(&app).await?;
    if args.json.json {
        let wanted: ConfigVars = vars
            .clone()
            .into_iter()
            .filter(|(key, _)| args.keys.contains(key))
            .collect();
        json::print(&cx.out, &wanted)?;
    } else {
        for key in &args.keys {
            let value = vars.get(key).map(String::as_str).unwrap_or_default();
            if args.shell {
                cx.out.line(&format!("{key}={}", quote(value)))?;
            } else {
                cx.out.line(value)?;
            }
        }
    }
    let all_there = args.keys.iter().all(|key| vars.contains_key(key));
    Ok(if all_there {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
