//! `authorizations`, `authorizations:*`: tokens for programs.

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use ropewalk_client::types::Authorization;
use ropewalk_client::types::oauth::{AuthorizationCreate, AuthorizationUpdate};

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// What it is for
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// Print the token alone
    #[arg(short = 'S', long)]
    short: bool,
    /// What it may: identity, read, write, read-protected, write-protected or global, with commas between
    #[arg(short, long, value_name = "SCOPES", value_delimiter = ',')]
    scope: Vec<String>,
    /// Seconds until it expires; without it, it never does
    #[arg(short, long, value_name = "SECONDS")]
    expires_in: Option<u64>,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IdArgs {
    /// Id of the authorization
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    /// Id of the authorization
    #[arg(value_name = "ID")]
    id: String,
    /// What it is for
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let mut all = cx.client()?.authorizations().await?;
    all.sort_by(|a, b| a.description.cmp(&b.description));
    if args.json {
        json::print(&cx.out, &all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        cx.out.line("No OAuth authorizations.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::bare();
    for one in all {
        table.row([one.description, one.id.to_string(), one.scope.join(",")]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn create(cx: &Context, args: CreateArgs) -> anyhow::Result<ExitCode> {
    let wanted = AuthorizationCreate {
        scope: match args.scope.is_empty() {
            true => vec!["global".to_owned()],
            false => args.scope,
        },
        description: args.description,
        expires_in: args.expires_in,
        client: None,
    };
    let client = cx.client()?;
    let action = cx.out.action("Creating OAuth Authorization");
    let made = client.authorize(&wanted).await?;
    action.done()?;
    if args.short {
        let token = made
            .access_token
            .ok_or_else(|| Failure::new("The server gave no token."))?;
        cx.out.line(&token.token.0)?;
        return Ok(ExitCode::SUCCESS);
    }
    show(cx, &made, args.json)
}

pub(crate) async fn info(cx: &Context, args: IdArgs) -> anyhow::Result<ExitCode> {
    let found = cx.client()?.authorization(&args.id).await?;
    show(cx, &found, args.json)
}

pub(crate) async fn update(cx: &Context, args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let change = AuthorizationUpdate {
        description: args.description,
        client: None,
    };
    let client = cx.client()?;
    let action = cx.out.action("Updating OAuth Authorization");
    let changed = client.update_authorization(&args.id, &change).await?;
    action.done()?;
    show(cx, &changed, args.json)
}

pub(crate) async fn rotate(cx: &Context, args: IdArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let action = cx.out.action("Rotating OAuth Authorization");
    let renewed = client.rotate(&args.id).await?;
    action.done()?;
    show(cx, &renewed, args.json)
}

pub(crate) async fn revoke(cx: &Context, args: IdArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let action = cx.out.action("Revoking OAuth Authorization");
    let gone = client.revoke(&args.id).await?;
    let whose = cx.out.paint_err().key(&gone.description);
    action.done_with(&format!("revoked authorization from {whose}"))?;
    if args.json.json {
        json::print(&cx.out, &gone)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(cx: &Context, one: &Authorization, args: JsonArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        json::print(&cx.out, one)?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = one
        .client
        .as_ref()
        .map_or("<none>".to_owned(), |client| client.name.clone());
    let mut rows = vec![
        ("Client".to_owned(), client),
        ("ID".to_owned(), one.id.to_string()),
        ("Description".to_owned(), one.description.clone()),
        ("Scope".to_owned(), one.scope.join(", ")),
    ];
    if let Some(token) = &one.access_token {
        rows.push(("Token".to_owned(), token.token.0.clone()));
        if let Some(at) = token.expires_in.and_then(expiry) {
            rows.push(("Expires at".to_owned(), time::ago(at)));
        }
    }
    rows.push(("Updated at".to_owned(), time::ago(one.updated_at)));
    cx.out.line(&table::object(&rows))?;
    Ok(ExitCode::SUCCESS)
}

fn expiry(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok()?;
    Timestamp::now()
        .checked_add(SignedDuration::from_secs(seconds))
        .ok()
}
