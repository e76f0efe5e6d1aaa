//! `releases:output`: what a release command said.

use std::process::ExitCode;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::{release, show_output};

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
    let release = release(&client, &app, args.release.as_deref()).await?;
    match &release.output_stream_url {
        Some(url) => show_output(cx, &client, url, JsonArgs::default()).await?,
        None => cx.out.remark(&format!(
            "Release v{} has no release output available.",
            release.version
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
