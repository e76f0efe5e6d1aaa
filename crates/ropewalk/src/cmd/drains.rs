//! `drains`, `drains:add`, `drains:remove`: where an app's log is sent besides.

use std::process::ExitCode;

use ropewalk_client::types::log_drain::LogDrainCreate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::json;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Where to send the log
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The drain's URL, id or token (d.…)
    #[arg(value_name = "DRAIN")]
    drain: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut drains = cx.client()?.log_drains(&app).await?;
    drains.sort_by(|a, b| (a.created_at, &a.url).cmp(&(b.created_at, &b.url)));
    if args.json.json {
        json::print(&cx.out, &drains)?;
        return Ok(ExitCode::SUCCESS);
    }
    if drains.is_empty() {
        let paint = cx.out.paint_err();
        cx.out
            .note(&format!("{} has no log drains.", paint.app(&app)))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading("Drains")?;
    for drain in drains {
        let token = cx.out.paint().good(&drain.token);
        cx.out.line(&format!("{} ({token})", drain.url))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let wanted = LogDrainCreate { url: args.url };
    let drain = cx.client()?.add_log_drain(&app, &wanted).await?;
    if args.json.json {
        json::print(&cx.out, &drain)?;
    } else {
        let url = cx.out.paint().key(&drain.url);
        cx.out.line(&format!("Successfully added drain {url}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let removed = cx.client()?.remove_log_drain(&app, &args.drain).await?;
    if args.json.json {
        json::print(&cx.out, &removed)?;
    } else {
        let drain = cx.out.paint().key(&args.drain);
        cx.out
            .line(&format!("Successfully removed drain {drain}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
