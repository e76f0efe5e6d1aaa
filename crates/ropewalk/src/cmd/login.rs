//! `login`: a token by way of the browser, for an email and a password, or one that is there already.

use std::process::ExitCode;
use std::time::Duration;

use ropewalk_client::types::browser_login::{BrowserLogin, BrowserLoginAsk};
use ropewalk_client::types::error::id;
use ropewalk_client::types::oauth::AuthorizationCreate;
use ropewalk_client::{Client, Credentials};
use tokio::time::Instant;

use crate::cmd::context::Context;
use crate::cmd::context::hosts::ApiHost;
use crate::cmd::context::settings::Settings;
use crate::cmd::open;
use crate::env;
use crate::ui::{Failure, prompt};

/// How tokens that this command asks for are described.
const DESCRIPTION: &str = "Ropewalk CLI login";
/// 30 days.
const EXPIRES_IN: u64 = 30 * 24 * 3600;
/// The server forgets a browser login after ten minutes.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two questions at least.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the API, for example http://api.localhost:8080
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Use this token; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Ask for email and password on the terminal, rather than in a browser
    #[arg(short, long)]
    interactive: bool,
    /// Browser to open: a program and its arguments
    #[arg(short, long, value_name = "BROWSER")]
    browser: Option<String>,
    /// Seconds until the token expires; with --interactive
    #[arg(short, long, value_name = "SECONDS", default_value_t = EXPIRES_IN)]
    expires_in: u64,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    if args.interactive && args.token.is_some() {
        return Err(Failure::usage("Use --interactive or --token, not both.").into());
    }
    let url = match &args.url {
        Some(url) => url.clone(),
        None => match cx.url() {
            Ok(url) => url,
            Err(_) => prompt::ask("Address of the API (http://api.localhost:8080): ")?
                .trim()
                .to_owned(),
        },
    };
    let host = ApiHost::parse(&url)?;
    let (email, token) = match &args.token {
        Some(token) => with_token(cx, &url, token).await?,
        None if args.interactive => with_password(cx, &url, args.expires_in).await?,
        None => with_browser(cx, &url, args.browser.as_deref()).await?,
    };
    remember(cx, &url, &host, &email, &token)?;
    cx.out
        .line(&format!("Logged in as {}", cx.out.paint().key(&email)))?;
    if cx.env.token.as_ref().is_some_and(|other| *other != token) {
        cx.out.remark(&format!(
            "{} is set and wins over what you logged in with: unset it.",
            env::TOKEN
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn with_token(cx: &Context, url: &str, token: &str) -> anyhow::Result<(String, String)> {
    let token = match token {
        "-" => prompt::ask_secret("Token: ")?.trim().to_owned(),
        token => token.to_owned(),
    };
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Failure::usage("The token is empty or holds blanks.").into());
    }
    let account = cx.client_with(url, Some(token.clone()))?.account().await?;
    Ok((account.email, token))
}

async fn with_browser(
    cx: &Context,
    url: &str,
    browser: Option<&str>,
) -> anyhow::Result<(String, String)> {
    let client = cx.client_with(url, None)?;
    let ask = BrowserLoginAsk {
        description: Some(format!("{DESCRIPTION} from {}", host_name())),
    };
    let login = client.ask_browser_login(&ask).await?;
    let page = client.browser_page(&login)?;
    let with = browser.or(cx.env.browser.as_deref());
    // Without a screen, the system's own would open in this terminal, or wait for ever.
    let opened = if with.is_some() || cx.env.screen || cfg!(target_os = "macos") {
        cx.out.note(&format!("Opening {page}"))?;
        open::browse(with, page.as_str()).await.is_ok()
    } else {
        false
    };
    if !opened {
        cx.out
            .note(&format!("Open this page in a browser to log in:\n{page}"))?;
    }
    let action = cx.out.action("Waiting for the login");
    let token = wait_for(&client, &login).await?;
    action.done()?;
    let account = cx.client_with(url, Some(token.clone()))?.account().await?;
    Ok((account.email, token))
}

async fn wait_for(client: &Client, login: &BrowserLogin) -> anyhow::Result<String> {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        let next = Instant::now() + PAUSE;
        let Some(outcome) = client.browser_login_outcome(login).await? else {
            tokio::time::sleep_until(next).await;
            continue;
        };
        return match (outcome.access_token, outcome.error) {
            (Some(token), _) => Ok(token.0),
            (None, Some(error)) => Err(Failure::new(error).into()),
            (None, None) => Err(Failure::new("The server gave no token.").into()),
        };
    }
    Err(Failure::new("The login was not confirmed in time.").into())
}

async fn with_password(
    cx: &Context,
    url: &str,
    expires_in: u64,
) -> anyhow::Result<(String, String)> {
    let client = cx.client_with(url, None)?;
    cx.out.note(&format!(
        "Enter your credentials for {}:",
        client.base().host_str().unwrap_or_default()
    ))?;
    let email = prompt::ask("Email: ")?.trim().to_owned();
    let password = prompt::ask_secret("Password: ")?;
    sign_in(&client, &email, &password, expires_in).await
}

async fn sign_in(
    client: &Client,
    email: &str,
    password: &str,
    expires_in: u64,
) -> anyhow::Result<(String, String)> {
    let wanted = AuthorizationCreate {
        scope: vec!["global".to_owned()],
        description: Some(format!("{DESCRIPTION} from {}", host_name())),
        expires_in: Some(expires_in),
        client: None,
    };
    let once = Credentials {
        email,
        password,
        second_factor: None,
    };
    let authorization = match client.sign_in(once, &wanted).await {
        Err(error) if error.has_id(id::TWO_FACTOR) => {
            let code = prompt::ask("Two-factor code: ")?;
            let twice = Credentials {
                second_factor: Some(code.trim()),
                ..once
            };
            client.sign_in(twice, &wanted).await
        }
        answer => answer,
    };
    let authorization = match authorization {
        // The general hint would be to log in, which is what was just tried.
        Err(error) if error.has_id(id::UNAUTHORIZED) => {
            return Err(Failure::new("The email or the password is not right.").into());
        }
        answer => answer?,
    };
    let token = authorization
        .access_token
        .ok_or_else(|| Failure::new("The server gave no token."))?;
    Ok((authorization.user.email, token.token.0))
}

/// Stores the token for the API and for git, and the server as the one to talk to.
fn remember(
    cx: &Context,
    url: &str,
    host: &ApiHost,
    email: &str,
    token: &str,
) -> anyhow::Result<()> {
    let file = cx.netrc()?;
    let mut netrc = file.read()?;
    netrc.set(&host.name, email, token);
    netrc.set(&host.git_host().name, email, token);
    file.write(&netrc)?;
    let home = cx
        .env
        .config_home
        .as_ref()
        .ok_or_else(|| Failure::new("HOME is not set."))?;
    let ca = cx
        .env
        .ca
        .as_ref()
        .map(std::path::absolute)
        .transpose()?
        .or_else(|| cx.settings.ca.clone());
    Settings {
        url: Some(url.to_owned()),
        ca,
    }
    .write(home)
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
