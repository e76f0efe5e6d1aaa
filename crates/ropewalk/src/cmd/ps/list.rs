//! `ps`: what runs now.

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use ropewalk_client::types::dyno::DynoStatus;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::{Failure, Paint, json, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only dynos of these process types
    #[arg(value_name = "TYPE")]
    types: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut dynos = cx.client()?.dyno_statuses(&app).await?;
    if let Some(missing) = args
        .types
        .iter()
        .find(|wanted| !dynos.iter().any(|dyno| dyno.dyno.process_type == **wanted))
    {
        return Err(Failure::new(format!("No {missing} dynos on {app}."))
            .hint("Run ropewalk ps:scale to see how many there should be of which process type.")
            .into());
    }
    dynos.retain(|dyno| args.types.is_empty() || args.types.contains(&dyno.dyno.process_type));
    dynos.sort_by_key(order);
    if args.json.json {
        json::print(&cx.out, &dynos)?;
    } else if let Some(sleep) = stopped(cx, &app, &dynos).await? {
        show(cx, &dynos)?;
        cx.out.line(&sleep)?;
    } else if dynos.is_empty() {
        cx.out
            .line(&format!("No dynos on {}", cx.out.paint().app(&app)))?;
    } else {
        show(cx, &dynos)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said of an app that sleeps and of which no web dyno is there.
async fn stopped(cx: &Context, app: &str, dynos: &[DynoStatus]) -> anyhow::Result<Option<String>> {
    if dynos.iter().any(|dyno| dyno.dyno.process_type == "web") {
        return Ok(None);
    }
    let sleep = cx.client()?.app_sleep(app).await?;
    let paint = cx.out.paint();
    Ok(sleep.tier.zip(sleep.since).map(|(tier, since)| {
        let idle = time::span(Timestamp::now().as_second() - since.as_second());
        let (app, state) = (paint.app(app), paint.warning("idle"));
        format!("{app}: {state} {idle} ({tier}); the next request wakes it")
    }))
}

/// By process type, then by number: `web.2` before `web.10`.
fn order(dyno: &DynoStatus) -> (String, u64, String) {
    let number = dyno
        .dyno
        .name
        .rsplit_once('.')
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(u64::MAX);
    (
        dyno.dyno.process_type.clone(),
        number,
        dyno.dyno.name.clone(),
    )
}

/// One-off dynos each have a command of their own; the others share one by process type.
fn show(cx: &Context, dynos: &[DynoStatus]) -> std::io::Result<()> {
    let paint = cx.out.paint();
    let (one_off, standing): (Vec<&DynoStatus>, Vec<&DynoStatus>) = dynos
        .iter()
        .partition(|dyno| dyno.dyno.process_type == "run");
    if !one_off.is_empty() {
        cx.out.heading(&format!(
            "{}: one-off processes ({})",
            paint.dyno("run"),
            one_off.len()
        ))?;
        for dyno in &one_off {
            cx.out.line(&format!(
                "{} ({}): {}: {}",
                paint.dyno(&dyno.dyno.name),
                dyno.dyno.size,
                state(dyno, paint),
                dyno.dyno.command
            ))?;
        }
        cx.out.line("")?;
    }
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&DynoStatus>> = BTreeMap::new();
    for &dyno in &standing {
        groups
            .entry((&dyno.dyno.process_type, &dyno.dyno.size, &dyno.dyno.command))
            .or_default()
            .push(dyno);
    }
    for ((process_type, size, command), dynos) in groups {
        cx.out.heading(&format!(
            "{} ({size}): {command} ({})",
            paint.dyno(process_type),
            dynos.len()
        ))?;
        for dyno in dynos {
            cx.out.line(&format!(
                "{}: {}",
                paint.dyno(&dyno.dyno.name),
                state(dyno, paint)
            ))?;
        }
        cx.out.line("")?;
    }
    Ok(())
}

fn state(dyno: &DynoStatus, paint: Paint) -> String {
    let state = match dyno.dyno.state.as_str() {
        "up" => paint.good(&dyno.dyno.state),
        "crashed" => paint.bad(&dyno.dyno.state),
        _ => paint.warning(&dyno.dyno.state),
    };
    if dyno.dyno.state == "idle" {
        let idle = Timestamp::now().as_second() - dyno.dyno.updated_at.as_second();
        let tier = dyno.reason.as_deref().unwrap_or("frozen");
        return format!("{state} {} ({tier})", time::span(idle));
    }
    let since = format!("{state} {}", time::ago(dyno.dyno.updated_at));
    match why(dyno, Timestamp::now()) {
        Some(why) => format!("{since}: {why}"),
        None => since,
    }
}

/// Of one that does not run as it should: `exit 137, out of memory; starts again in 20s`.
fn why(dyno: &DynoStatus, now: Timestamp) -> Option<String> {
    let reason = dyno.reason.as_deref().filter(|_| dyno.dyno.state != "up");
    let again = dyno
        .restarts_at
        .map(|at| match at.as_second() - now.as_second() {
            seconds @ 1.. => format!("starts again in {}", time::span(seconds)),
            _ => "starts again now".to_owned(),
        });
    let parts: Vec<String> = reason.map(str::to_owned).into_iter().chain(again).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
