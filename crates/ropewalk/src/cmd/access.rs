//! `access`, `access:*`: who works on an app.

use std::process::ExitCode;

use ropewalk_client::types::collaborator::CollaboratorCreate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::json;
use crate::ui::table::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UserArgs {
    /// The person's email; they need an account on the server
    #[arg(value_name = "EMAIL")]
    email: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut people = cx.client()?.collaborators(&app).await?;
    people.sort_by(|a, b| a.user.email.cmp(&b.user.email));
    if args.json.json {
        json::print(&cx.out, &people)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::with_headings(&["Email", "Role"]);
    for one in people {
        table.row([one.user.email, one.role.unwrap_or_default()]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: UserArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Adding {} access to the app {}",
        paint.key(&args.email),
        paint.app(&app)
    ));
    let wanted = CollaboratorCreate {
        user: args.email,
        silent: None,
    };
    let added = client.add_collaborator(&app, &wanted).await?;
    action.done()?;
    args.json.print(cx, &added)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(cx: &Context, args: UserArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Removing {} access from the app {}",
        paint.key(&args.email),
        paint.app(&app)
    ));
    let removed = client.remove_collaborator(&app, &args.email).await?;
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}
