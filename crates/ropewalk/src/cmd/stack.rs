//! `stack`, `stack:set`: the base image of the next build.

use std::process::ExitCode;

use ropewalk_client::types::app::AppUpdate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::rebase;
use crate::ui::json;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Name of the stack
    #[arg(value_name = "STACK")]
    stack: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let (info, stacks, versions) = tokio::join!(
        client.app(&app),
        client.stacks(),
        client.stack_versions(&app)
    );
    let (app, mut stacks) = (info?, stacks?);
    if args.json.json {
        json::print(&cx.out, &stacks)?;
        return Ok(ExitCode::SUCCESS);
    }
    stacks.sort_by(|a, b| a.name.cmp(&b.name));
    let paint = cx.out.paint();
    cx.out
        .heading(&format!("{} Available Stacks", paint.app(&app.name)))?;
    for stack in &stacks {
        let runs = stack.name == app.stack.name;
        let next = stack.name == app.build_stack.name && !runs;
        let note = if next { " (active on next deploy)" } else { "" };
        let line = format!("{} {}{note}", if runs { "*" } else { " " }, stack.name);
        cx.out.line(&if runs { paint.key(&line) } else { line })?;
    }
    // The list is good without it.
    if let Some(advice) = versions.ok().as_ref().and_then(rebase::advice) {
        cx.out.remark(&advice)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let action = cx.out.action(&format!(
        "Setting stack to {}",
        cx.out.paint_err().key(&args.stack)
    ));
    let update = AppUpdate {
        build_stack: Some(args.stack),
        ..AppUpdate::default()
    };
    let changed = client.update_app(&app, &update).await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &changed)?;
    } else if changed.build_stack.name != changed.stack.name {
        let paint = cx.out.paint();
        cx.out.line(&format!(
            "You will need to redeploy {} for the change to take effect.",
            paint.app(&changed.name)
        ))?;
        cx.out.line(&format!(
            "Run {} to trigger a new build on {}.",
            paint.command("git push ropewalk main"),
            paint.app(&changed.name)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
