//! `maintenance`, `maintenance:on`, `maintenance:off`.

use std::process::ExitCode;

use ropewalk_client::types::App;
use ropewalk_client::types::app::AppUpdate;

use crate::cmd::context::{AppJsonArgs, Context};
use crate::ui::json;

pub(crate) async fn show(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let app = cx.client()?.app(&app).await?;
    if args.json.json {
        json::print(&cx.out, &said(&app))?;
    } else {
        cx.out.line(if app.maintenance { "on" } else { "off" })?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn switch(cx: &Context, args: AppJsonArgs, on: bool) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let verb = if on { "Enabling" } else { "Disabling" };
    let action = cx.out.action(&format!(
        "{verb} maintenance mode for {}",
        cx.out.paint_err().app(&app)
    ));
    let update = AppUpdate {
        maintenance: Some(on),
        ..AppUpdate::default()
    };
    let updated = cx.client()?.update_app(&app, &update).await?;
    action.done()?;
    args.json.print(cx, &said(&updated))?;
    Ok(ExitCode::SUCCESS)
}

fn said(app: &App) -> serde_json::Value {
    serde_json::json!({ "maintenance": app.maintenance })
}
