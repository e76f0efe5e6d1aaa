//! `releases:retry`: the same code once more, as a new release.

use std::process::ExitCode;

use ropewalk_client::types::release::ReleaseCreate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::ending::see_through;
use crate::cmd::releases::release;
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version (v5) or id; without it, the newest
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
    let target = release(&client, &app, args.release.as_deref()).await?;
    let Some(slug) = &target.slug else {
        return Err(Failure::new(format!(
            "v{} of {app} runs no code to try again.",
            target.version
        ))
        .hint("Push code: git push ropewalk main.")
        .into());
    };
    let paint = cx.out.paint_err();
    let version = paint.key(&format!("v{}", target.version));
    let action = cx
        .out
        .action(&format!("Retrying {version} on {}", paint.app(&app)));
    let wanted = ReleaseCreate {
        slug: Some(slug.id.to_string()),
        description: Some(format!(
            "Retry of v{}: {}",
            target.version, target.description
        )),
        ..ReleaseCreate::default()
    };
    let made = client.create_release(&app, &wanted).await?;
    see_through(cx, &client, &app, &made, action, args.json).await?;
    Ok(ExitCode::SUCCESS)
}
