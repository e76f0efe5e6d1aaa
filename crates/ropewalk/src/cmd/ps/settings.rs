//! `ps:settings`, `ps:settings:set`, `ps:settings:unset`: how dynos start and stop.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ropewalk_client::types::dyno_setting::{DynoSettings, DynoSettingsUpdate};
use ropewalk_model::dyno_setting::{DynoSettingError, Name};

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::table::object;
use crate::ui::{Failure, json};

/// What there is to set, for the help of `ps:settings:set`.
pub(crate) const SETTINGS: &str = "\
Settings:
  boot-timeout=60s  A web dyno must listen on its port so long after its start: 1s to 180s
  stop-grace=30s    A dyno that stops has so long to finish its requests, and again so long after SIGTERM: 1s to 5m
  cycle=24h         A dyno runs no longer before another takes its place, within a share of it more: 1h to 30d
  sleep-after=30m   Without a request for so long the app sleeps, frozen: 10s to 30d, or off
  stop-after=1h     So long after that its dynos end: 1s to 30d, or off
  sleep=on          Of another type than web: its dynos sleep when the app does
  waiting-page=on   Browsers that wake the app are shown a page if that takes long
  drain=30s         Requests in flight have so long before SIGTERM, where that is not the stop-grace: 1s to 5m
  rollout=rolling   A deploy takes the places of web dynos by and by, and both releases serve: blue-green or rolling
  surge=1           So many dynos more than wanted while it does: 0 to 100; as many as batch if nothing is said
  batch=1           So many places at a time: 1 to 100
  order=start-first A worker's successor starts beside it: stop-first or start-first
  singleton=on      There is at most one dyno, not even two during a deploy: on or off
  deadline=10m      A deploy whose dynos have not passed by then is reverted, for the whole app: 1m to 24h";

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Settings; they are listed below
    #[arg(value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
    #[command(flatten)]
    of: TypeArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UnsetArgs {
    /// Names of the settings
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    of: TypeArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
struct TypeArgs {
    /// Only for dynos of this process type
    #[arg(long = "type", value_name = "TYPE")]
    process_type: Option<String>,
}

pub(crate) async fn show(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let settings = cx.client()?.dyno_settings(&app).await?;
    if args.json.json {
        json::print(&cx.out, &settings)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    let mut parts = Vec::new();
    if !settings.all.is_empty() {
        parts.push(("all process types".to_owned(), &settings.all));
    }
    for (process_type, settings) in &settings.types {
        parts.push((paint.dyno(process_type), settings));
    }
    let name = paint.app(&settings.app.name);
    if parts.is_empty() {
        cx.out
            .line(&format!("{name} has no dyno settings of its own."))?;
    }
    for (of, settings) in parts {
        cx.out.heading(&format!("{name} dyno settings of {of}"))?;
        cx.out.line(&table(cx, settings))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    let settings = parse(&args.settings)?;
    change(cx, "Setting", settings, args.of, &args.app, &args.json).await
}

pub(crate) async fn unset(cx: &Context, args: UnsetArgs) -> anyhow::Result<ExitCode> {
    let mut settings = BTreeMap::new();
    for name in &args.names {
        let name = Name::parse(name).map_err(mistake)?;
        once(&mut settings, name, None)?;
    }
    change(cx, "Unsetting", settings, args.of, &args.app, &args.json).await
}

async fn change(
    cx: &Context,
    verb: &str,
    settings: BTreeMap<String, Option<String>>,
    of: TypeArgs,
    app: &AppArgs,
    json: &JsonArgs,
) -> anyhow::Result<ExitCode> {
    let app = cx.app(app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let names: Vec<String> = settings.keys().map(|name| paint.key(name)).collect();
    let whose = match &of.process_type {
        Some(process_type) => format!(" of {}", paint.dyno(process_type)),
        None => String::new(),
    };
    let action = cx.out.action(&format!(
        "{verb} {}{whose} on {}",
        names.join(", "),
        paint.app(&app)
    ));
    let update = DynoSettingsUpdate {
        process_type: of.process_type,
        settings,
    };
    let settings: DynoSettings = client.update_dyno_settings(&app, &update).await?;
    action.done()?;
    json.print(cx, &settings)?;
    Ok(ExitCode::SUCCESS)
}

/// `NAME=VALUE` pairs as the API takes them.
fn parse(texts: &[String]) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let mut settings = BTreeMap::new();
    for text in texts {
        let Some((name, value)) = text.split_once('=') else {
            let name = Name::parse(text).map_err(mistake)?;
            return Err(Failure::usage(format!("{text} lacks a value."))
                .hint(format!(
                    "For example: ropewalk ps:settings:set {text}={}.",
                    name.example()
                ))
                .into());
        };
        let name = Name::parse(name).map_err(mistake)?;
        let mut checked = ropewalk_model::DynoSettings::default();
        checked.set(name, value).map_err(mistake)?;
        once(&mut settings, name, checked.text(name))?;
    }
    Ok(settings)
}

/// Of two values of one setting it would not be clear which is meant.
fn once(
    settings: &mut BTreeMap<String, Option<String>>,
    name: Name,
    text: Option<String>,
) -> Result<(), Failure> {
    match settings.insert(name.as_str().to_owned(), text) {
        None => Ok(()),
        Some(_) => {
            let text = format!("{} is named twice.", name.as_str());
            Err(Failure::usage(text).hint("Name each setting once."))
        }
    }
}

fn mistake(error: DynoSettingError) -> Failure {
    Failure::usage(error.to_string())
        .hint("What each of them does: ropewalk ps:settings:set --help.")
}

fn table(cx: &Context, settings: &BTreeMap<String, String>) -> String {
    let paint = cx.out.paint();
    let rows: Vec<(String, String)> = settings
        .iter()
        .map(|(name, text)| (paint.key(name), text.clone()))
        .collect();
    object(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_before_they_are_sent() {
        let read = |text: &str| {
            let settings: Vec<String> = text.split(' ').map(str::to_owned).collect();
            parse(&settings)
        };
        let settings = read("boot-timeout=120 cycle=1d").unwrap();
        assert_eq!(settings["boot-timeout"].as_deref(), Some("2m"));
        assert_eq!(settings["cycle"].as_deref(), Some("24h"));
        for bad in [
            "boot-timeout",
            "boot-timeout=",
            "boot-timeout=4m",
            "cycle=1d cycle=2d",
            "nothing=1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
