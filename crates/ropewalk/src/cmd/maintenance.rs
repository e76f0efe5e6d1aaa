//! `maintenance`, `maintenance:on`, `maintenance:off`.

use std::process::ExitCode;

use ropewalk_client::types::app::AppUpdate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn show(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let app = cx.client()?.app(&app).await?;
    if args.json.json {
        json::print(
            &cx.out,
            &serde_json::json!({ "maintenance": app.maintenance }),
        )?;
    } else {
        cx.out.line(if app.maintenance { "on" } else { "off" })?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn switch(cx: &Context, args: AppArgs, on: bool) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args).await?;
    let verb = if on { "Enabling" } else { "Disabling" };
    let action = cx.out.action(&format!(
        "{verb} maintenance mode for {}",
        cx.out.paint_err().app(&app)
    ));
    let update = AppUpdate {
        maintenance: Some(on),
        ..AppUpdate::default()
    };
    cx.client()?.update_app(&app, &update).await?;
    action.done()?;
    Ok(ExitCode::SUCCESS)
}
