//! `ps:wait`: until all dynos run the newest release that has not failed.

use std::process::ExitCode;
use std::time::Duration;

use ropewalk_client::Client;
use ropewalk_client::types::release::ReleaseStatus;
use ropewalk_client::types::{Dyno, Release};
use tokio::time::Instant;

use crate::cmd::context::{AppArgs, Context};
use crate::cmd::releases::ending::failed;
use crate::ui::Failure;
use crate::ui::action::Action;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only dynos of this process type
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    process_type: Option<String>,
    /// Wait for one-off dynos too
    #[arg(short = 'R', long)]
    with_run: bool,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    wait_interval: u64,
    /// Seconds after which to give up
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    #[command(flatten)]
    app: AppArgs,
}

/// Releases among which the one to wait for is looked for.
const NEWEST: u32 = 50;

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let give_up = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let release = awaited(&client, &app).await?;
        let what = args.process_type.as_deref().unwrap_or("dyno");
        let action = cx.out.action(&format!(
            "Waiting for every {what} to be running v{}",
            release.version
        ));
        match wait_for(&client, &app, release, &args, give_up, &action).await? {
            Some(count) => {
                action.end(&format!("{count}, {}", cx.out.paint_err().good("done")))?;
                return Ok(ExitCode::SUCCESS);
            }
            // By a newer one, so this ends.
            None => action.end("superseded")?,
        }
    }
}

/// The newest release that serves or may come to.
async fn awaited(client: &Client, app: &str) -> anyhow::Result<Release> {
    let releases = client.releases(app, NEWEST).await?;
    let lives = |release: &Release| {
        matches!(
            release.status,
            ReleaseStatus::Pending | ReleaseStatus::Succeeded
        )
    };
    releases.into_iter().find(lives).ok_or_else(|| {
        Failure::new(format!("{app} has no release to wait for."))
            .hint("Push code: git push ropewalk main.")
            .into()
    })
}

/// How many dynos run `release` once all of them do; `None` when a newer one has taken its place.
async fn wait_for(
    client: &Client,
    app: &str,
    mut release: Release,
    args: &Args,
    give_up: Instant,
    action: &Action,
) -> anyhow::Result<Option<String>> {
    let version = release.version;
    loop {
        if release.status == ReleaseStatus::Pending {
            release = client.release(app, &version.to_string()).await?;
        }
        match release.status {
            ReleaseStatus::Failed => {
                return Err(failed(version, release.failure.as_deref()).into());
            }
            ReleaseStatus::Expired => return Ok(None),
            ReleaseStatus::Pending | ReleaseStatus::Succeeded => {}
        }
        let (ready, wanted) = look(client, app, version, args).await?;
        let count = format!("{ready} / {wanted}");
        if ready >= wanted && release.status == ReleaseStatus::Succeeded {
            return Ok(Some(count));
        }
        action.progress(&count);
        if Instant::now() >= give_up {
            return Err(Failure::new(format!(
                "Only {count} dynos run v{version} after {} s.",
                args.timeout
            ))
            .hint("Look at ropewalk ps and ropewalk logs.")
            .into());
        }
        tokio::time::sleep(Duration::from_secs(args.wait_interval)).await;
    }
}

/// How many dynos run `version`, and how many should.
async fn look(
    client: &Client,
    app: &str,
    version: u64,
    args: &Args,
) -> anyhow::Result<(usize, usize)> {
    let (dynos, formation) = tokio::join!(client.dynos(app), client.formation(app));
    let (dynos, formation) = (dynos?, formation?);
    let meant = |process_type: &str| match &args.process_type {
        Some(wanted) => process_type == wanted,
        None => process_type != "release" && (args.with_run || process_type != "run"),
    };
    let relevant: Vec<&Dyno> = dynos
        .iter()
        .filter(|dyno| meant(&dyno.process_type))
        .collect();
    // One that is frozen is as new as it was when it fell asleep.
    let runs = |dyno: &&&Dyno| matches!(dyno.state.as_str(), "up" | "idle");
    let ready = relevant
        .iter()
        .filter(runs)
        .filter(|dyno| dyno.release.version >= version)
        .count();
    let mut desired = formation
        .iter()
        .filter(|part| meant(&part.process_type))
        .map(|part| part.quantity as usize)
        .sum();
    if relevant.len() < desired && is_stopped(client, app).await {
        desired = relevant.len();
    }
    // Old dynos still there count as missing; dynos not yet made do too.
    Ok((ready, relevant.len().max(desired)))
}

/// Whether the app sleeps with none of its dynos there: they come when somebody asks for it, and not before.
async fn is_stopped(client: &Client, app: &str) -> bool {
    let sleep = client.app_sleep(app).await;
    sleep.is_ok_and(|sleep| sleep.tier.as_deref() == Some("stopped"))
}
