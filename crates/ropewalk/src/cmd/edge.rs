//! `edge`, `edge:set`, `edge:unset`: what an app asks of the router before a request reaches it.

use std::io::IsTerminal;
use std::process::ExitCode;

use ropewalk_client::types::edge::{self as wire, BasicAuthUpdate, EdgeUpdate};
use ropewalk_client::types::{Edge, Secret};
use ropewalk_model::edge::{
    BasicAuth, EdgeError, Hsts, MaxBody, Name, Policy, RateLimit, TrustedIps, Weight,
};
use ropewalk_model::{AppId, AppName};

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::table::object;
use crate::ui::{Failure, json, prompt};

/// What there is to set, for the help of `edge:set`.
pub(crate) const SETTINGS: &str = "\
Settings:
  pause=on           Requests wait, while a database moves: up to 1,000 of them, each for 75 seconds
  https-redirect=on  Requests over plain HTTP are sent to HTTPS
  hsts=1y            Browsers that came over HTTPS keep to it for so long: 1y, 180d, 12h; 0 makes them forget
  trusted-ips=LIST   Only these addresses and ranges reach the app: 192.0.2.7,198.51.100.0/24,2001:db8::/32
  basic-auth=USER    Asks for this user and a password, which is asked for or read from standard input
  rate-limit=10/s    One client address may make so many requests a second (/s), minute (/m) or hour (/h);
                     rate-limit=10/s,burst=50 lets 50 come at once
  max-body=10MB      Requests with a larger body are refused
  canary=APP         Dynos of this app, of the same owner, answer some of the requests; says nothing without one of:
  canary-weight=5%   So many of the clients
  canary-cookie=NAME Clients whose cookie NAME is always, but none whose cookie NAME is never";

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
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
    /// Names of the settings
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn show(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let edge = cx.client()?.edge(&app).await?;
    if args.json.json {
        json::print(&cx.out, &edge)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    let set = told(cx, &edge, &Name::ALL)?;
    if set.is_empty() {
        let name = paint.app(&edge.app.name);
        cx.out.line(&format!("{name} has no edge settings."))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out
        .heading(&format!("{} edge settings", paint.app(&edge.app.name)))?;
    cx.out.line(&object(&set))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    let (mut update, names) = parse(&args.settings)?;
    if let Some(Some(auth)) = &mut update.basic_auth {
        auth.password = Secret(new_password(&auth.user)?);
    }
    let edge = change(cx, &args.app, "Setting", &update, &names).await?;
    if args.json.json {
        json::print(&cx.out, &edge)?;
        return Ok(ExitCode::SUCCESS);
    }
    let set = told(cx, &edge, &names)?;
    if !set.is_empty() {
        cx.out.line(&object(&set))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn unset(cx: &Context, args: UnsetArgs) -> anyhow::Result<ExitCode> {
    let mut update = EdgeUpdate::default();
    let mut names = Vec::new();
    for text in &args.names {
        let name = name(text)?;
        match name {
            Name::Pause => update.pause = Some(false),
            Name::HttpsRedirect => update.https_redirect = Some(false),
            Name::Hsts => update.hsts_max_age = Some(None),
            Name::TrustedIps => update.trusted_ips = Some(None),
            Name::BasicAuth => update.basic_auth = Some(None),
            Name::RateLimit => update.rate_limit = Some(None),
            Name::MaxBody => update.max_body_bytes = Some(None),
            Name::Canary => update.canary = Some(None),
            Name::CanaryWeight => update.canary_weight_percent = Some(None),
            Name::CanaryCookie => update.canary_cookie = Some(None),
        }
        once(name, &mut names)?;
    }
    let edge = change(cx, &args.app, "Unsetting", &update, &names).await?;
    args.json.print(cx, &edge)?;
    Ok(ExitCode::SUCCESS)
}

async fn change(
    cx: &Context,
    app: &AppArgs,
    verb: &str,
    update: &EdgeUpdate,
    names: &[Name],
) -> anyhow::Result<Edge> {
    let app = cx.app(app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let names: Vec<String> = names.iter().map(|name| paint.key(name.as_str())).collect();
    let action = cx.out.action(&format!(
        "{verb} {} on {}",
        names.join(", "),
        paint.app(&app)
    ));
    let edge = client.update_edge(&app, update).await?;
    action.done()?;
    Ok(edge)
}

/// `NAME=VALUE` pairs as the API takes them, and the names in their order.
fn parse(settings: &[String]) -> anyhow::Result<(EdgeUpdate, Vec<Name>)> {
    let mut update = EdgeUpdate::default();
    let mut names = Vec::new();
    for setting in settings {
        let Some((text, value)) = setting.split_once('=') else {
            let name = name(setting)?;
            return Err(Failure::usage(format!("{setting} lacks a value."))
                .hint(format!(
                    "For example: ropewalk edge:set {setting}={}.",
                    name.example()
                ))
                .into());
        };
        let name = name(text)?;
        once(name, &mut names)?;
        if name == Name::BasicAuth {
            // The password is asked for once everything else is in order.
            update.basic_auth = Some(Some(BasicAuthUpdate {
                user: user(value)?.to_owned(),
                password: Secret(String::new()),
            }));
            continue;
        }
        if name == Name::Canary {
            if AppName::parse(value).is_err() && value.parse::<AppId>().is_err() {
                return Err(
                    mistake(EdgeError::Text(name, value.chars().take(40).collect())).into(),
                );
            }
            update.canary = Some(Some(value.to_owned()));
            continue;
        }
        let mut policy = Policy::default();
        policy.set(name, value).map_err(mistake)?;
        match name {
            Name::Pause => update.pause = Some(policy.pause),
            Name::HttpsRedirect => update.https_redirect = Some(policy.https_redirect),
            Name::Hsts => update.hsts_max_age = Some(policy.hsts.map(Hsts::seconds)),
            Name::TrustedIps => {
                let trusted = policy.trusted_ips.iter().flat_map(TrustedIps::ranges);
                update.trusted_ips = Some(Some(trusted.map(ToString::to_string).collect()));
            }
            Name::BasicAuth | Name::Canary => {}
            Name::CanaryWeight => {
                update.canary_weight_percent = Some(policy.canary_weight.map(Weight::percent));
            }
            Name::CanaryCookie => {
                update.canary_cookie = Some(policy.canary_cookie.as_ref().map(ToString::to_string));
            }
            Name::MaxBody => update.max_body_bytes = Some(policy.max_body.map(MaxBody::bytes)),
            Name::RateLimit => {
                update.rate_limit = Some(policy.rate_limit.map(|limit| wire::RateLimit {
                    requests: limit.requests(),
                    seconds: limit.seconds(),
                    burst: Some(limit.burst()),
                }));
            }
        }
    }
    Ok((update, names))
}

/// A command line is read by others on this machine, and kept by the shell.
fn user(value: &str) -> Result<&str, Failure> {
    if value.contains(':') {
        return Err(Failure::usage(
            "A password does not belong on the command line, where others on this machine see it.",
        )
        .hint("Name the user alone, and type the password when asked or pipe it in: ropewalk edge:set basic-auth=USER."));
    }
    BasicAuth::new(value, "a password that fits", [0; 16]).map_err(mistake)?;
    Ok(value)
}

/// Asked for twice on a terminal, for nobody sees what is typed.
fn new_password(user: &str) -> anyhow::Result<String> {
    let password = prompt::ask_secret(&format!("Password for {user}: "))?;
    BasicAuth::new(user, &password, [0; 16]).map_err(|error| Failure::usage(error.to_string()))?;
    if std::io::stdin().is_terminal() && prompt::ask_secret("The same again: ")? != password {
        return Err(Failure::usage("The two passwords differ.").into());
    }
    Ok(password)
}

/// Of two values of one setting it would not be clear which is meant.
fn once(name: Name, names: &mut Vec<Name>) -> Result<(), Failure> {
    if names.contains(&name) {
        let text = format!("{} is named twice.", name.as_str());
        return Err(Failure::usage(text).hint("Name each setting once."));
    }
    names.push(name);
    Ok(())
}

fn name(text: &str) -> anyhow::Result<Name> {
    Ok(Name::parse(text).map_err(mistake)?)
}

fn mistake(error: EdgeError) -> Failure {
    Failure::usage(error.to_string()).hint("What each of them does: ropewalk edge:set --help.")
}

/// What of `names` is set, with its value as people type it.
fn told(cx: &Context, edge: &Edge, names: &[Name]) -> anyhow::Result<Vec<(String, String)>> {
    let policy = policy(edge)?;
    let paint = cx.out.paint();
    let text = |name: Name| match name {
        Name::BasicAuth => edge.basic_auth.as_ref().map(|auth| auth.user.clone()),
        Name::Canary => edge.canary.as_ref().map(|app| app.name.clone()),
        _ => policy.text(name),
    };
    Ok(names
        .iter()
        .filter_map(|name| Some((paint.key(name.as_str()), text(*name)?)))
        .collect())
}

/// But for the password, which no server tells.
fn policy(edge: &Edge) -> Result<Policy, EdgeError> {
    Ok(Policy {
        pause: edge.pause,
        https_redirect: edge.https_redirect,
        hsts: edge.hsts_max_age.map(Hsts::new).transpose()?,
        trusted_ips: match edge.trusted_ips.is_empty() {
            true => None,
            false => Some(edge.trusted_ips.join(",").parse()?),
        },
        basic_auth: None,
        rate_limit: edge
            .rate_limit
            .map(|limit| RateLimit::new(limit.requests, limit.seconds, limit.burst))
            .transpose()?,
        max_body: edge.max_body_bytes.map(MaxBody::new).transpose()?,
        canary: edge.canary.as_ref().map(|app| AppId(app.id)),
        canary_weight: edge
            .canary_weight_percent
            .map(Weight::from_percent)
            .transpose()?,
        canary_cookie: edge
            .canary_cookie
            .as_ref()
            .map(|name| name.parse())
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_what_the_api_takes() {
        let read = |text: &str| {
            let settings: Vec<String> = text.split(' ').map(str::to_owned).collect();
            parse(&settings)
        };
        let (update, names) = read("https-redirect=on hsts=1y").unwrap();
        assert_eq!(names, [Name::HttpsRedirect, Name::Hsts]);
        assert_eq!(update.https_redirect, Some(true));
        assert_eq!(update.hsts_max_age, Some(Some(31_536_000)));
        let (update, _) = read("trusted-ips=192.0.2.0/24,2001:db8::1").unwrap();
        let trusted = update.trusted_ips.flatten().unwrap();
        assert_eq!(trusted, ["192.0.2.0/24", "2001:db8::1"]);
        assert!(read("basic-auth=dev").is_ok());
        let (update, _) = read("max-body=512KiB").unwrap();
        assert_eq!(update.max_body_bytes, Some(Some(524_288)));
        let (update, _) = read("rate-limit=30/m,burst=5").unwrap();
        let limit = update.rate_limit.flatten().unwrap();
        assert_eq!(
            (limit.requests, limit.seconds, limit.burst),
            (30, 60, Some(5))
        );
        let (update, _) = read("canary=shop-next canary-weight=0.5% canary-cookie=beta").unwrap();
        assert_eq!(update.canary, Some(Some("shop-next".to_owned())));
        assert_eq!(update.canary_weight_percent, Some(Some(0.5)));
        assert_eq!(update.canary_cookie, Some(Some("beta".to_owned())));
        for bad in [
            "hsts=1y hsts=2y",
            "basic-auth=dev:hunter2hunter2",
            "basic-auth=",
            "hsts",
            "hsts=",
            "hsts=soon",
            "=on",
            "nothing=1",
            "canary=",
            "canary=5%",
            "canary-weight=many",
            "canary-cookie=a;b",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
