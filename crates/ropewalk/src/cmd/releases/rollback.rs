//! `rollback`: code and config of an earlier release, as a new release.

use std::process::ExitCode;

use ropewalk_client::Client;
use ropewalk_client::types::Release;
use ropewalk_client::types::release::ReleaseCreate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::ending::see_through;
use crate::cmd::releases::version;
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version (v5) or id; without it, the one before the current
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let target = match &args.release {
        Some(typed) => client.release(&app, version(typed)).await?,
        None => previous(&client, &app).await?,
    };
    let paint = cx.out.paint_err();
    let to = paint.key(&format!("v{}", target.version));
    let action = cx
        .out
        .action(&format!("Rolling back {} to {to}", paint.app(&app)));
    let wanted = ReleaseCreate {
        release: Some(target.id.to_string()),
        ..ReleaseCreate::default()
    };
    let made = client.create_release(&app, &wanted).await?;
    see_through(cx, &client, &app, &made, action, args.json).await?;
    cx.out.remark("Rollback affects code and config vars; it doesn't add or remove data.\nTo undo, run ropewalk rollback again with the version you came from.")?;
    Ok(ExitCode::SUCCESS)
}

/// The newest release that can be gone back to and is not the current one.
async fn previous(client: &Client, app: &str) -> anyhow::Result<Release> {
    let releases = client.releases(app, 10).await?;
    let current = releases
        .iter()
        .find(|release| release.current)
        .map(|release| release.version);
    let eligible = releases.into_iter().find(|release| {
        release.eligible_for_rollback
            && !release.current
            && current.is_none_or(|current| release.version < current)
    });
    eligible.ok_or_else(|| {
        Failure::new(format!("No eligible release found for {app} to roll back to."))
            .hint("Run ropewalk releases --num 100 to see older ones, and name one: ropewalk rollback v3.")
            .into()
    })
}
