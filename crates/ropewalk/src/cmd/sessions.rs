//! `sessions`, `sessions:destroy`: where one is logged in.

use std::process::ExitCode;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::json;
use crate::ui::table::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct DestroyArgs {
    /// Id of the session; ~ is the one in use
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let mut sessions = cx.client()?.sessions().await?;
    sessions.sort_by(|a, b| a.description.cmp(&b.description));
    if args.json {
        json::print(&cx.out, &sessions)?;
        return Ok(ExitCode::SUCCESS);
    }
    if sessions.is_empty() {
        cx.out.line("No OAuth sessions.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::bare();
    for one in sessions {
        table.row([one.description, one.id.to_string()]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn destroy(cx: &Context, args: DestroyArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Destroying {}", paint.key(&args.id)));
    let ended = client.end_session(&args.id).await?;
    action.done()?;
    args.json.print(cx, &ended)?;
    Ok(ExitCode::SUCCESS)
}
