//! `ps:autoscale`, `ps:autoscale:enable`, `ps:autoscale:disable`: between how many dynos web is scaled.

use std::process::ExitCode;

use ropewalk_client::types::Monitor;
use ropewalk_client::types::monitor::MonitorUpdate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::{Failure, json};

/// What a client of the API gives for a monitor that scales.
const NAME: &str = "LATENCY_SCALE";
const ACTION_TYPE: &str = "scale";
const OP: &str = "GREATER_OR_EQUAL";
const PERIOD: i64 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Process type to show
    #[arg(long = "type", value_name = "TYPE", default_value = "web")]
    process_type: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnableArgs {
    /// Fewest dynos, at least 1
    #[arg(long)]
    min: i64,
    /// Most dynos
    #[arg(long)]
    max: i64,
    /// Wanted p95 response time in milliseconds; 1000 unless it was set before
    #[arg(long, value_name = "MS")]
    p95: Option<i64>,
    /// Not available: nobody is notified
    #[arg(long, hide = true)]
    notifications: bool,
    /// Process type to scale
    #[arg(long = "type", value_name = "TYPE", default_value = "web")]
    process_type: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn show(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let monitors = cx.client()?.monitors(&app, &args.process_type).await?;
    if args.json.json {
        json::print(&cx.out, &monitors)?;
    } else {
        let paint = cx.out.paint();
        let state = match monitors.iter().find(|monitor| monitor.is_active) {
            Some(monitor) => said(monitor),
            None => "off".to_owned(),
        };
        let what = paint.dyno(&args.process_type);
        cx.out.line(&format!(
            "Autoscaling of {what} on {}: {state}",
            paint.app(&app)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn enable(cx: &Context, args: EnableArgs) -> anyhow::Result<ExitCode> {
    if args.notifications {
        return Err(Failure::usage("Ropewalk does not notify anybody yet.")
            .hint("Each step is in the app's log: ropewalk logs --tail.")
            .into());
    }
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let action = cx.out.action("Enabling dyno autoscaling");
    let mut wanted = MonitorUpdate {
        is_active: Some(true),
        op: Some(OP.to_owned()),
        period: Some(PERIOD),
        value: args.p95,
        min_quantity: Some(args.min),
        max_quantity: Some(args.max),
        ..MonitorUpdate::default()
    };
    let monitors = client.monitors(&app, &args.process_type).await?;
    let monitor = match monitors.first() {
        Some(known) => {
            let id = known.id.to_string();
            client
                .update_monitor(&app, &args.process_type, &id, &wanted)
                .await?
        }
        None => {
            wanted.name = Some(NAME.to_owned());
            wanted.action_type = Some(ACTION_TYPE.to_owned());
            client
                .create_monitor(&app, &args.process_type, &wanted)
                .await?
        }
    };
    action.done_with(&said(&monitor))?;
    if args.json.json {
        json::print(&cx.out, &monitor)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn disable(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let action = cx.out.action("Disabling dyno autoscaling");
    let monitors = client.monitors(&app, &args.process_type).await?;
    let Some(known) = monitors.first() else {
        return Err(Failure::new(format!(
            "Autoscaling of {} was never enabled on {app}.",
            args.process_type
        ))
        .hint("Enable it: ropewalk ps:autoscale:enable --min 1 --max 5.")
        .into());
    };
    let off = MonitorUpdate {
        is_active: Some(false),
        op: Some(OP.to_owned()),
        period: Some(PERIOD),
        ..MonitorUpdate::default()
    };
    let id = known.id.to_string();
    let monitor = client
        .update_monitor(&app, &args.process_type, &id, &off)
        .await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &monitor)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `1 to 5 dynos, p95 500 ms`
fn said(monitor: &Monitor) -> String {
    format!(
        "{} to {} dynos, p95 {} ms",
        monitor.min_quantity, monitor.max_quantity, monitor.value
    )
}
