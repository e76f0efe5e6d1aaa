//! `builds`, `builds:*`: source trees on their way to slugs.

pub(crate) mod create;

use std::process::ExitCode;

use ropewalk_client::Client;
use ropewalk_client::types::Build;
use ropewalk_client::types::build::BuildStatus;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::show_output;
use crate::ui::table::Table;
use crate::ui::{Failure, Paint, json, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Number of builds to show
    #[arg(short, long, value_name = "NUM", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    num: u32,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// Id of the build; without it, the newest
    #[arg(value_name = "BUILD")]
    build: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Id of the build; without it, the newest
    #[arg(value_name = "BUILD")]
    build: Option<String>,
    #[command(flatten)]
    app: AppArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// Id of the build; without it, the newest
    #[arg(value_name = "BUILD")]
    build: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let builds = cx.client()?.builds(&app, args.num).await?;
    if args.json.json {
        json::print(&cx.out, &builds)?;
    } else if builds.is_empty() {
        cx.out
            .line(&format!("{} has no builds.", cx.out.paint().app(&app)))?;
    } else {
        cx.out.heading(&format!("{app} Builds"))?;
        let mut table = Table::bare();
        for build in &builds {
            table.row([
                build.id.to_string(),
                status(build, cx.out.paint()),
                short(build.source_blob.version.as_deref()),
                build.user.email.clone(),
                time::ago(build.created_at),
            ]);
        }
        cx.out.line(&table.render())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn info(cx: &Context, args: InfoArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let build = build(&cx.client()?, &app, args.build.as_deref()).await?;
    if args.json.json {
        json::print(&cx.out, &build)?;
        return Ok(ExitCode::SUCCESS);
    }
    let buildpacks: Vec<String> = build
        .buildpacks
        .iter()
        .flatten()
        .filter_map(|buildpack| buildpack.name.clone().or(buildpack.url.clone()))
        .collect();
    let mut rows = vec![
        ("By".to_owned(), build.user.email.clone()),
        ("Status".to_owned(), status(&build, cx.out.paint())),
        (
            "Source".to_owned(),
            build.source_blob.version.clone().unwrap_or_default(),
        ),
        ("Stack".to_owned(), build.stack.clone()),
        ("When".to_owned(), time::ago(build.created_at)),
    ];
    if !buildpacks.is_empty() {
        rows.push(("Buildpacks".to_owned(), buildpacks.join(", ")));
    }
    if let Some(slug) = &build.slug {
        rows.push(("Slug".to_owned(), slug.id.to_string()));
    }
    cx.out.heading(&format!("Build {}", build.id))?;
    cx.out.line(&table::object(&rows))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn output(cx: &Context, args: OutputArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let named = build(&client, &app, args.build.as_deref()).await?;
    show_output(cx, &client, &named.output_stream_url, JsonArgs::default()).await?;
    // The stream only tells; the build itself knows.
    let failed = client.build(&app, &named.id.to_string()).await?.status == BuildStatus::Failed;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

pub(crate) async fn cancel(cx: &Context, args: CancelArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let named = build(&client, &app, args.build.as_deref()).await?;
    let action = cx.out.action(&format!("Cancelling build {}", named.id));
    let ended = client.cancel_build(&app, &named.id.to_string()).await?;
    action.done()?;
    args.json.print(cx, &ended)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn purge_cache(cx: &Context, args: AppArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args).await?;
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Clearing the build cache of {}", paint.app(&app)));
    cx.client()?.delete_build_cache(&app).await?;
    action.done()?;
    Ok(ExitCode::SUCCESS)
}

async fn build(client: &Client, app: &str, typed: Option<&str>) -> anyhow::Result<Build> {
    if let Some(id) = typed {
        return Ok(client.build(app, id).await?);
    }
    let newest = client.builds(app, 1).await?.into_iter().next();
    let none =
        || Failure::new(format!("{app} has no builds.")).hint("Push code: git push ropewalk main.");
    Ok(newest.ok_or_else(none)?)
}

fn status(build: &Build, paint: Paint) -> String {
    let text = build.status.to_string();
    match build.status {
        BuildStatus::Pending => paint.warning(&text),
        BuildStatus::Succeeded => paint.good(&text),
        BuildStatus::Failed => paint.bad(&text),
    }
}

/// The first eight letters of a commit.
fn short(version: Option<&str>) -> String {
    version.unwrap_or_default().chars().take(8).collect()
}
