//! `autoscale`, `autoscale:set`, `autoscale:unset`, `autoscale:events`: by what process types are scaled, and what was
//! decided.

use std::process::ExitCode;

use ropewalk_client::types::autoscale::{
    AutoscalePace, AutoscaleSchedule, AutoscaleTarget, AutoscaleUpdate, AutoscaleWebhookUpdate,
};
use ropewalk_client::types::{AutoscaleEvent, AutoscaleRule, Secret};
use ropewalk_model::scaling::schedule::{minute_of, zone};
use ropewalk_model::scaling::{Days, Target};

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::table::{Table, object};
use crate::ui::time;
use crate::ui::{Failure, json};

/// What there is to set, for the help of `autoscale:set`.
pub(crate) const SETTINGS: &str = "\
Settings; NAME=off ends one, what is not named stays:
  min=1 max=10          Fewest and most dynos
  concurrency=5         Requests that one dyno works on at once (web)
  p95=500ms             95 of 100 requests are answered in that time (web)
  rps=50                Requests a second for one dyno (web)
  queue=100ms           95 of 100 requests wait no longer for a dyno (web)
  cpu=60% memory=80%    What dynos use on average
  metric:NAME=100       So much of a number of the app's own is for one dyno; it is read every 10 seconds from one of:
  path:NAME=/metrics      Prometheus text at this path of each dyno, added up
  shared:NAME=/metrics    the same of any dyno, where each says the same
  command:NAME='bin/jobs' what a command prints in a dyno
  schedule='weekdays 09:00-18:00 Europe/Berlin min=5'
                        Other bounds at these hours; once for each, all of them take the place of those before
  up-rest=20s           Between a change and the next step up
  down-after=3m         For so long fewer dynos must have done before any goes
  down-rest=1m          Between a change and the next step down
  most-up=4 most-down=1 Most dynos of one step
  panic=off             A load that needs twice the dynos is not met without rest and limit
  dry-run=on            Only says what it would do
  webhook=https://…     Who is told of changes; the secret by which notices are signed is shown once
  notice-period=5m      Least time between two notices
With several goals the one counts that asks for most dynos.";

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Process type
    #[arg(value_name = "TYPE")]
    process_type: String,
    /// Settings; they are listed below
    #[arg(value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UnsetArgs {
    /// Process type
    #[arg(value_name = "TYPE")]
    process_type: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Of this process type alone
    #[arg(value_name = "TYPE")]
    process_type: Option<String>,
    /// So many of the newest
    #[arg(short, long, value_name = "COUNT", default_value_t = 20)]
    num: usize,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn show(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let rules = cx.client()?.autoscale_rules(&app).await?;
    if args.json.json {
        json::print(&cx.out, &rules)?;
        return Ok(ExitCode::SUCCESS);
    }
    if rules.is_empty() {
        let name = cx.out.paint().app(&app);
        cx.out
            .line(&format!("Nothing of {name} is scaled by itself."))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            cx.out.line("")?;
        }
        print(cx, rule)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    // Mistakes are told before anybody is asked.
    apply(&args.settings, AutoscaleUpdate::default())?;
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Setting autoscale of {} on {}",
        paint.dyno(&args.process_type),
        paint.app(&app)
    ));
    let rules = client.autoscale_rules(&app).await?;
    let known = rules
        .into_iter()
        .find(|rule| rule.process_type == args.process_type);
    let update = apply(
        &args.settings,
        known.map_or_else(AutoscaleUpdate::default, again),
    )?;
    let rule = client
        .set_autoscale(&app, &args.process_type, &update)
        .await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &rule)?;
    } else {
        print(cx, &rule)?;
        let secret = rule.webhook.and_then(|webhook| webhook.secret);
        if let Some(secret) = secret {
            cx.out.line("")?;
            cx.out.line(&format!("Webhook secret: {}", secret.0))?;
            cx.out.note(
                "Notices are signed with it (Ropewalk-Webhook-Hmac-SHA256). It is not shown again.",
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn unset(cx: &Context, args: UnsetArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Ending autoscale of {} on {}",
        paint.dyno(&args.process_type),
        paint.app(&app)
    ));
    let rule = client.remove_autoscale(&app, &args.process_type).await?;
    action.done()?;
    args.json.print(cx, &rule)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn events(cx: &Context, args: EventsArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut events = cx.client()?.autoscale_events(&app).await?;
    if let Some(process_type) = &args.process_type {
        events.retain(|event| event.process_type == *process_type);
    }
    events.drain(..events.len().saturating_sub(args.num));
    if args.json.json {
        json::print(&cx.out, &events)?;
        return Ok(ExitCode::SUCCESS);
    }
    if events.is_empty() {
        let name = cx.out.paint().app(&app);
        cx.out
            .line(&format!("Nothing was decided for {name} yet."))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::with_headings(&["When", "Type", "Dynos", "Why"]);
    for event in &events {
        table.row([
            time::ago(event.at),
            event.process_type.clone(),
            step(event),
            event.reason.clone(),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

/// `1 to 4`, `1 to 4 (advice)`
fn step(event: &AutoscaleEvent) -> String {
    let advice = if event.applied { "" } else { " (advice)" };
    format!("{} to {}{advice}", event.from, event.to)
}

/// One line for `ps:scale`, whose number an active rule may change again.
pub(crate) fn note_on_scaling(rule: &AutoscaleRule, quantity: u32) -> Option<String> {
    let AutoscaleRule {
        process_type,
        min,
        max,
        ..
    } = rule;
    if !rule.is_active || rule.dry_run {
        return None;
    }
    Some(match quantity {
        0 => format!("Autoscale leaves {process_type} off until it is scaled up again."),
        _ => format!(
            "Autoscale keeps {process_type} between {min} and {max} and goes on from there; to choose the number \
             yourself: ropewalk autoscale:unset {process_type}."
        ),
    })
}

fn print(cx: &Context, rule: &AutoscaleRule) -> anyhow::Result<()> {
    let paint = cx.out.paint();
    let mut title = format!(
        "{}: {} to {} dynos",
        paint.dyno(&rule.process_type),
        rule.min,
        rule.max
    );
    if !rule.is_active {
        title.push_str(", off");
    } else if rule.dry_run {
        title.push_str(", as advice only");
    }
    cx.out.heading(&title)?;
    let pairs: Vec<(String, String)> = texts(rule)
        .into_iter()
        .map(|(name, value)| (paint.key(&name), value))
        .collect();
    cx.out.line(&object(&pairs))?;
    Ok(())
}

/// Settings as people type them, but for the bounds.
fn texts(rule: &AutoscaleRule) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let mut add = |name: &str, value: String| texts.push((name.to_owned(), value));
    for target in &rule.targets {
        let unit = match target.kind.as_str() {
            "p95" | "queue" => "ms",
            "cpu" | "memory" => "%",
            _ => "",
        };
        add(&target.kind, format!("{}{unit}", target.goal));
        let name = target.kind.strip_prefix("metric:").unwrap_or_default();
        match (&target.path, &target.command) {
            (Some(path), _) if target.shared => add(&format!("shared:{name}"), path.clone()),
            (Some(path), _) => add(&format!("path:{name}"), path.clone()),
            (None, Some(command)) => add(&format!("command:{name}"), command.clone()),
            (None, None) => {}
        }
    }
    for schedule in &rule.schedules {
        let AutoscaleSchedule {
            days,
            from,
            to,
            time_zone,
            min,
            max,
        } = schedule;
        let bound = |name: &str, number: Option<u32>| {
            number.map_or(String::new(), |number| format!(" {name}={number}"))
        };
        let bounds = bound("min", *min) + &bound("max", *max);
        let days = days.join(",");
        add(
            "schedule",
            format!("{days} {from}-{to} {time_zone}{bounds}"),
        );
    }
    let pace = &rule.pace;
    for (name, value, unit) in [
        ("up-rest", pace.up_rest, "s"),
        ("down-after", pace.down_after, "s"),
        ("down-rest", pace.down_rest, "s"),
        ("most-up", pace.most_up, ""),
        ("most-down", pace.most_down, ""),
    ] {
        if let Some(value) = value {
            add(name, format!("{value}{unit}"));
        }
    }
    if !pace.panic {
        add("panic", "off".to_owned());
    }
    if let Some(webhook) = &rule.webhook {
        add("webhook", webhook.host.clone());
        add("notice-period", format!("{}m", rule.notice_period));
    }
    texts
}

/// What sets the rule that there is; the webhook stays where nothing is said of it.
fn again(rule: AutoscaleRule) -> AutoscaleUpdate {
    AutoscaleUpdate {
        is_active: Some(true),
        dry_run: rule.dry_run,
        min: Some(rule.min.into()),
        max: Some(rule.max.into()),
        targets: rule.targets,
        schedules: rule.schedules,
        pace: rule.pace,
        webhook: None,
        notice_period: Some(rule.notice_period.into()),
    }
}

/// The update with these settings besides.
fn apply(settings: &[String], mut update: AutoscaleUpdate) -> anyhow::Result<AutoscaleUpdate> {
    let mut named: Vec<&str> = Vec::new();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(mistake(format!("{setting} lacks a value.")).into());
        };
        let first = !named.contains(&name);
        if !first && name != "schedule" {
            return Err(mistake(format!("{name} is named twice.")).into());
        }
        named.push(name);
        if name == "schedule" && first {
            update.schedules.clear();
        }
        set_one(&mut update, name, value)?;
    }
    update.is_active = Some(true);
    Ok(update)
}

fn set_one(update: &mut AutoscaleUpdate, name: &str, value: &str) -> Result<(), Failure> {
    let off = value == "off";
    let AutoscalePace {
        up_rest,
        down_after,
        down_rest,
        most_up,
        most_down,
        panic,
    } = &mut update.pace;
    match name {
        "min" => update.min = Some(whole(name, value)?.into()),
        "max" => update.max = Some(whole(name, value)?.into()),
        "up-rest" => *up_rest = unless(off, || seconds(name, value))?,
        "down-after" => *down_after = unless(off, || seconds(name, value))?,
        "down-rest" => *down_rest = unless(off, || seconds(name, value))?,
        "most-up" => *most_up = unless(off, || whole(name, value))?,
        "most-down" => *most_down = unless(off, || whole(name, value))?,
        "panic" => *panic = switch(name, value)?,
        "dry-run" => update.dry_run = switch(name, value)?,
        "schedule" if off => {}
        "schedule" => update.schedules.push(schedule(value)?),
        "webhook" => {
            update.webhook = Some(match off {
                true => None,
                false => Some(AutoscaleWebhookUpdate {
                    url: Secret(value.to_owned()),
                    secret: None,
                }),
            });
        }
        "notice-period" => {
            let seconds = seconds(name, value)?;
            if !seconds.is_multiple_of(60) {
                let text = format!("{name} is in whole minutes, such as 5m, not {value}.");
                return Err(mistake(text));
            }
            update.notice_period = Some((seconds / 60).into());
        }
        _ => match name.split_once(':') {
            Some(("path", metric)) => source(update, metric, |target| {
                target.path = (!off).then(|| value.to_owned());
            }),
            Some(("shared", metric)) => source(update, metric, |target| {
                target.path = (!off).then(|| value.to_owned());
                target.shared = !off;
            }),
            Some(("command", metric)) => source(update, metric, |target| {
                target.command = (!off).then(|| value.to_owned());
            }),
            _ if off => {
                Target::parse(name, 1.0).map_err(|error| mistake(error.to_string()))?;
                update.targets.retain(|target| target.kind != name);
            }
            _ => {
                let goal = goal(name, value)?;
                Target::parse(name, goal).map_err(|error| mistake(error.to_string()))?;
                target(update, name).goal = goal;
            }
        },
    }
    Ok(())
}

fn unless<T>(off: bool, value: impl FnOnce() -> Result<T, Failure>) -> Result<Option<T>, Failure> {
    match off {
        true => Ok(None),
        false => value().map(Some),
    }
}

/// The target of a kind, which is added where there is none.
fn target<'a>(update: &'a mut AutoscaleUpdate, kind: &str) -> &'a mut AutoscaleTarget {
    let known = update.targets.iter().position(|target| target.kind == kind);
    let index = known.unwrap_or_else(|| {
        update.targets.push(AutoscaleTarget {
            kind: kind.to_owned(),
            // Where no goal is named beside a source the server says so.
            goal: 0.0,
            path: None,
            shared: false,
            command: None,
        });
        update.targets.len() - 1
    });
    &mut update.targets[index]
}

/// Sets a metric's source in the place of the one before.
fn source(update: &mut AutoscaleUpdate, metric: &str, set: impl FnOnce(&mut AutoscaleTarget)) {
    let target = target(update, &format!("metric:{metric}"));
    (target.path, target.shared, target.command) = (None, false, None);
    set(target);
}

fn whole(name: &str, value: &str) -> Result<u32, Failure> {
    value
        .parse()
        .map_err(|_| mistake(format!("{name} is a whole number, not {value}.")))
}

fn switch(name: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(mistake(format!("{name} is on or off, not {value}."))),
    }
}

/// `500ms`, `1.5s`, `60%`, `5`.
fn goal(name: &str, value: &str) -> Result<f64, Failure> {
    let (text, factor) = match name {
        "p95" | "queue" => match (value.strip_suffix("ms"), value.strip_suffix('s')) {
            (Some(ms), _) => (ms, 1.0),
            (None, Some(seconds)) => (seconds, 1000.0),
            (None, None) => (value, 1.0),
        },
        "cpu" | "memory" => (value.strip_suffix('%').unwrap_or(value), 1.0),
        _ => (value, 1.0),
    };
    text.parse()
        .map(|number: f64| number * factor)
        .map_err(|_| mistake(format!("{name} is a number, not {value}.")))
}

/// `20s`, `3m`, `1h`; a number alone is seconds.
fn seconds(name: &str, value: &str) -> Result<u32, Failure> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let (text, unit) = units
        .iter()
        .find_map(|(unit, seconds)| Some((value.strip_suffix(unit)?, *seconds)))
        .unwrap_or((value, 1));
    let number: Option<u32> = text.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| mistake(format!("{name} is a time such as 20s or 3m, not {value}.")))
}

/// `weekdays 09:00-18:00 Europe/Berlin min=5 max=9`: days and hours first, the rest in any order.
fn schedule(text: &str) -> Result<AutoscaleSchedule, Failure> {
    let wrong = |error: &dyn std::fmt::Display| mistake(error.to_string());
    let odd = || {
        mistake(format!(
            "{text:?} is no schedule: it is as in 'weekdays 09:00-18:00 Europe/Berlin min=5'."
        ))
    };
    let mut words = text.split_ascii_whitespace();
    let days = words.next().ok_or_else(odd)?;
    let days = Days::parse(days).map_err(|error| wrong(&error))?;
    let hours = words.next().and_then(|hours| hours.split_once('-'));
    let (from, to) = hours.ok_or_else(odd)?;
    for clock in [from, to] {
        minute_of(clock).map_err(|error| wrong(&error))?;
    }
    let mut schedule = AutoscaleSchedule {
        days: days.names(),
        from: from.to_owned(),
        to: to.to_owned(),
        time_zone: "UTC".to_owned(),
        min: None,
        max: None,
    };
    for word in words {
        match word.split_once('=') {
            Some(("min", number)) => schedule.min = Some(whole("min", number)?),
            Some(("max", number)) => schedule.max = Some(whole("max", number)?),
            Some(_) => return Err(odd()),
            None => {
                zone(word).map_err(|error| wrong(&error))?;
                schedule.time_zone = word.to_owned();
            }
        }
    }
    if schedule.min.is_none() && schedule.max.is_none() {
        return Err(odd());
    }
    Ok(schedule)
}

fn mistake(text: String) -> Failure {
    Failure::usage(text).hint("What each of them does: ropewalk autoscale:set --help.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str], before: AutoscaleUpdate) -> Result<AutoscaleUpdate, String> {
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
        apply(&settings, before).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_is_understood() {
        let update = set(
            &[
                "min=2",
                "max=20",
                "concurrency=5",
                "p95=1.5s",
                "queue=100ms",
                "rps=12.5",
                "cpu=60%",
                "memory=80",
                "metric:jobs=100",
                "shared:jobs=/metrics",
                "command:mails=bin/mails --waiting",
                "metric:mails=10",
                "schedule=weekdays 09:00-18:00 Europe/Berlin min=5",
                "schedule=sat 0:00-24:00 max=1",
                "up-rest=0s",
                "down-after=3m",
                "down-rest=10",
                "most-up=4",
                "most-down=2",
                "panic=off",
                "dry-run=on",
                "webhook=https://hooks.example.com",
                "notice-period=1h",
            ],
            AutoscaleUpdate::default(),
        )
        .unwrap();
        let goals: Vec<(&str, f64)> = update
            .targets
            .iter()
            .map(|target| (target.kind.as_str(), target.goal))
            .collect();
        assert_eq!(
            goals,
            [
                ("concurrency", 5.0),
                ("p95", 1500.0),
                ("queue", 100.0),
                ("rps", 12.5),
                ("cpu", 60.0),
                ("memory", 80.0),
                ("metric:jobs", 100.0),
                ("metric:mails", 10.0),
            ]
        );
        let [jobs, mails] = &update.targets[6..] else {
            panic!("{update:?}");
        };
        assert_eq!(
            (jobs.path.as_deref(), jobs.shared),
            (Some("/metrics"), true)
        );
        assert_eq!(mails.command.as_deref(), Some("bin/mails --waiting"));
        assert_eq!((update.min, update.max), (Some(2), Some(20)));
        let [work, saturday] = &update.schedules[..] else {
            panic!("{update:?}");
        };
        assert_eq!(work.days, ["mon", "tue", "wed", "thu", "fri"]);
        assert_eq!(
            (work.time_zone.as_str(), work.min, work.max),
            ("Europe/Berlin", Some(5), None)
        );
        assert_eq!(
            (saturday.time_zone.as_str(), saturday.max),
            ("UTC", Some(1))
        );
        let pace = AutoscalePace {
            up_rest: Some(0),
            down_after: Some(180),
            down_rest: Some(10),
            most_up: Some(4),
            most_down: Some(2),
            panic: false,
        };
        assert_eq!(update.pace, pace);
        assert!(update.dry_run && update.is_active == Some(true));
        assert_eq!(update.notice_period, Some(60));
        assert!(matches!(update.webhook, Some(Some(_))));

        let less = set(
            &[
                "p95=off",
                "path:jobs=/numbers",
                "schedule=off",
                "up-rest=off",
                "panic=on",
                "webhook=off",
                "metric:mails=off",
            ],
            update,
        )
        .unwrap();
        let kinds: Vec<&str> = less.targets.iter().map(|one| one.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "concurrency",
                "queue",
                "rps",
                "cpu",
                "memory",
                "metric:jobs"
            ]
        );
        let jobs = less.targets.last().unwrap();
        assert_eq!(
            (jobs.path.as_deref(), jobs.shared),
            (Some("/numbers"), false)
        );
        assert_eq!((less.schedules.len(), less.pace.up_rest), (0, None));
        assert_eq!((less.pace.panic, less.webhook), (true, Some(None)));
    }

    #[test]
    fn mistakes_are_named() {
        for (setting, said) in [
            ("min", "lacks a value"),
            ("min=few", "whole number"),
            ("cpu=200%", "from 1 to 100"),
            ("load=5", "no target called"),
            ("load=off", "no target called"),
            ("p95=soon", "is a number"),
            ("down-after=5x", "is a time"),
            ("down-after=99999999d", "is a time"),
            ("notice-period=90s", "whole minutes"),
            ("panic=yes", "on or off"),
            ("schedule=weekdays", "is no schedule"),
            ("schedule=weekdays 09:00-18:00", "is no schedule"),
            ("schedule=someday 09:00-18:00 min=1", "no days"),
            ("schedule=mon 9-18 min=1", "no time of day"),
            ("schedule=mon 09:00-18:00 Mars min=1", "no time zone"),
            ("schedule=mon 09:00-18:00 least=1", "is no schedule"),
        ] {
            let error = set(&[setting], AutoscaleUpdate::default()).unwrap_err();
            assert!(error.contains(said), "{setting}: {error}");
        }
        let twice = set(&["min=1", "min=2"], AutoscaleUpdate::default());
        assert_eq!(twice.unwrap_err(), "min is named twice.");
    }
}
