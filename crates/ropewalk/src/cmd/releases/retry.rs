//! `releases:retry`: the same code once more, as a new release.

use std::process::ExitCode;

use ropewalk_client::types::release::ReleaseCreate;

use crate::cmd::context::{AppArgs, Context};
use crate::cmd::releases::ending::ending;
use crate::cmd::releases::{release, show_output};
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version (v5) or id; without it, the newest
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    #[command(flatten)]
    app: AppArgs,
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
    let version = format!("v{}", made.version);
    let action = match &made.output_stream_url {
        Some(url) => {
            action.end(&format!("{version}, running its release command"))?;
            show_output(cx, &client, url).await?;
            cx.out.action(&format!("Waiting for {version} to serve"))
        }
        None => action,
    };
    let ended = ending(&client, &app, &made).await?;
    if let Some(failure) = ended.failure(made.version) {
        return Err(failure.into());
    }
    action.done_with(&version)?;
    Ok(ExitCode::SUCCESS)
}
