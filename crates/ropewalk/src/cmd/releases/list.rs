//! `releases`: the newest releases, newest first.

use std::process::ExitCode;

use ropewalk_client::types::Release;
use ropewalk_client::types::release::ReleaseStatus;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Paint, json, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of releases to show
    #[arg(short, long, value_name = "NUM", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    num: u32,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let releases = cx.client()?.releases(&app, args.num).await?;
    if args.json.json {
        json::print(&cx.out, &releases)?;
        return Ok(ExitCode::SUCCESS);
    }
    if releases.is_empty() {
        cx.out
            .line(&format!("{} has no releases.", cx.out.paint().app(&app)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let current = releases.iter().find(|release| release.current);
    let title = current.map_or(format!("{app} Releases"), |release| {
        format!("{app} Releases - Current: v{}", release.version)
    });
    cx.out.heading(&title)?;
    let paint = cx.out.paint();
    let mut table = Table::bare();
    for release in &releases {
        table.row([
            paint.key(&format!("v{}", release.version)),
            description(release, paint),
            release.user.email.clone(),
            time::ago(release.created_at),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

fn description(release: &Release, paint: Paint) -> String {
    let status = match release.status {
        ReleaseStatus::Succeeded => return release.description.clone(),
        // Without a release command it is its dynos that start, or did not.
        ReleaseStatus::Pending if release.output_stream_url.is_none() => paint.warning("pending"),
        ReleaseStatus::Pending => paint.warning("release command executing"),
        ReleaseStatus::Failed if release.output_stream_url.is_none() => paint.bad("failed"),
        ReleaseStatus::Failed => paint.bad("release command failed"),
        ReleaseStatus::Expired => paint.dim("expired"),
    };
    format!("{} {status}", release.description)
}
