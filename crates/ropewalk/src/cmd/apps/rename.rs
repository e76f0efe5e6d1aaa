//! `apps:rename`: a new name, and the git remotes that follow.

use std::process::ExitCode;

use ropewalk_client::types::app::AppUpdate;

use crate::cmd::context::{AppArgs, Context, JsonArgs, remotes};
use crate::ui::json;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The new name
    #[arg(value_name = "NEWNAME")]
    name: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let old = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Renaming {} to {}",
        paint.app(&old),
        paint.key(&args.name)
    ));
    let update = AppUpdate {
        name: Some(args.name),
        ..AppUpdate::default()
    };
    let app = client.update_app(&old, &update).await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &app)?;
    } else {
        let web = app.web_url.clone().unwrap_or_default();
        cx.out.line(&format!("{web} | {}", app.git_url))?;
    }
    let host = cx.git_host()?;
    for remote in remotes::all(&host)
        .await?
        .into_iter()
        .filter(|remote| remote.app == old)
    {
        remotes::set(&remote.name, &app.git_url, &host).await?;
        let updated = format!("Git remote {} updated", remote.name);
        match args.json.json {
            true => cx.out.note(&updated)?,
            false => cx.out.line(&updated)?,
        }
    }
    cx.out.remark(
        "Other clones of the repository still have the old remote: run ropewalk git:remote there.",
    )?;
    Ok(ExitCode::SUCCESS)
}
