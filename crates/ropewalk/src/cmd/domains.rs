//! `domains`, `domains:*`: the host names that lead to an app.

use std::process::ExitCode;
use std::time::Duration;

use ropewalk_client::types::Domain;
use ropewalk_client::types::domain::{DomainCreate, DomainKind, DomainUpdate};
use tokio::time::Instant;

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json, table};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Host name, for example www.example.com
    #[arg(value_name = "HOSTNAME")]
    hostname: String,
    /// Certificate to serve it with
    #[arg(short, long, value_name = "ENDPOINT")]
    cert: Option<String>,
    /// Wait until it is ready
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// Host name
    #[arg(value_name = "HOSTNAME")]
    hostname: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Certificate to serve it with; an empty name takes its own away
    #[arg(long, value_name = "ENDPOINT")]
    cert: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WaitArgs {
    /// Host name; without it, all that are pending
    #[arg(value_name = "HOSTNAME")]
    hostname: Option<String>,
    /// Seconds after which to give up
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    #[command(flatten)]
    app: AppArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut domains = cx.client()?.domains(&app).await?;
    domains.sort_by(|a, b| a.hostname.cmp(&b.hostname));
    if args.json.json {
        json::print(&cx.out, &domains)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (own, custom): (Vec<&Domain>, Vec<&Domain>) = domains
        .iter()
        .partition(|domain| domain.kind == DomainKind::Heroku);
    cx.out.heading(&format!("{app} Ropewalk Domain"))?;
    for domain in own {
        cx.out.line(&domain.hostname)?;
    }
    if !custom.is_empty() {
        cx.out.line("")?;
        cx.out.heading(&format!("{app} Custom Domains"))?;
        let mut table = Table::with_headings(&[
            "Domain Name",
            "DNS Record Type",
            "DNS Target",
            "SNI Endpoint",
            "Status",
        ]);
        for domain in custom {
            table.row([
                domain.hostname.clone(),
                record_type(&domain.hostname).to_owned(),
                domain.cname.clone().unwrap_or_default(),
                domain
                    .sni_endpoint
                    .as_ref()
                    .map_or("none".to_owned(), |endpoint| endpoint.name.clone()),
                domain.status.clone(),
            ]);
        }
        cx.out.line(&table.render())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Adding {} to {}",
        paint.key(&args.hostname),
        paint.app(&app)
    ));
    let wanted = DomainCreate {
        hostname: args.hostname,
        sni_endpoint: args.cert,
    };
    let domain = client.add_domain(&app, &wanted).await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &domain)?;
        return match args.wait && domain.status == "pending" {
            true => wait_for(cx, &app, &domain.hostname, 600).await,
            false => Ok(ExitCode::SUCCESS),
        };
    }
    if let Some(cname) = &domain.cname {
        cx.out.line(&format!(
            "Configure your app's DNS provider to point to the DNS Target {}.",
            cx.out.paint().key(cname)
        ))?;
    }
    if domain.status == "pending" {
        if args.wait {
            return wait_for(cx, &app, &domain.hostname, 600).await;
        }
        cx.out.line(&format!(
            "\nThe domain {} has been enqueued for addition",
            domain.hostname
        ))?;
        let wait = cx
            .out
            .paint()
            .command(&format!("ropewalk domains:wait '{}'", domain.hostname));
        cx.out.line(&format!("Run {wait} to wait for completion"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn update(cx: &Context, args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.name.app).await?;
    let hostname = args.name.hostname;
    let action = cx.out.action(&format!(
        "Updating {} of {}",
        cx.out.paint_err().key(&hostname),
        cx.out.paint_err().app(&app)
    ));
    let update = DomainUpdate {
        sni_endpoint: Some(args.cert).filter(|cert| !cert.is_empty()),
    };
    let updated = cx.client()?.update_domain(&app, &hostname, &update).await?;
    action.done()?;
    args.name.json.print(cx, &updated)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(cx: &Context, args: NameArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Removing {} from {}",
        paint.key(&args.hostname),
        paint.app(&app)
    ));
    let removed = cx.client()?.remove_domain(&app, &args.hostname).await?;
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn clear(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let action = cx.out.action(&format!(
        "Removing all domains from {}",
        cx.out.paint_err().app(&app)
    ));
    let domains = client.domains(&app).await?;
    let mut removed = Vec::new();
    // The one that the app is born with stays.
    for domain in domains
        .iter()
        .filter(|domain| domain.kind == DomainKind::Custom)
    {
        removed.push(client.remove_domain(&app, &domain.hostname).await?);
    }
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn info(cx: &Context, args: NameArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let domain = cx.client()?.domain(&app, &args.hostname).await?;
    if args.json.json {
        json::print(&cx.out, &domain)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |key: &str, value: Option<String>| (key.to_owned(), value.unwrap_or_default());
    cx.out.heading(&domain.hostname)?;
    let acm_status = domain
        .acm_status
        .map(|status| row("ACM Status", Some(status)));
    let mut rows: Vec<(String, String)> = acm_status.into_iter().collect();
    rows.extend([
        row("App", Some(domain.app.name)),
        row("CNAME", domain.cname),
        row("Hostname", Some(domain.hostname)),
        row("Kind", Some(domain.kind.to_string())),
        row(
            "SNI Endpoint",
            Some(
                domain
                    .sni_endpoint
                    .map_or("none".to_owned(), |endpoint| endpoint.name),
            ),
        ),
        row("Status", Some(domain.status)),
    ]);
    cx.out.line(&table::object(&rows))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn wait(cx: &Context, args: WaitArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let names = match args.hostname {
        Some(hostname) => vec![hostname],
        None => {
            let domains = cx.client()?.domains(&app).await?;
            domains
                .into_iter()
                .filter(|domain| domain.status == "pending")
                .map(|domain| domain.hostname)
                .collect()
        }
    };
    for name in names {
        wait_for(cx, &app, &name, args.timeout).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn wait_for(
    cx: &Context,
    app: &str,
    hostname: &str,
    timeout: u64,
) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let action = cx
        .out
        .action(&format!("Waiting for {}", cx.out.paint_err().key(hostname)));
    let give_up = Instant::now() + Duration::from_secs(timeout);
    loop {
        match client.domain(app, hostname).await?.status.as_str() {
            "pending" if Instant::now() < give_up => {
                tokio::time::sleep(Duration::from_secs(1)).await
            }
            "pending" => {
                return Err(
                    Failure::new(format!("{hostname} is not ready after {timeout} s.")).into(),
                );
            }
            "failed" => return Err(Failure::new(format!("{hostname} could not be added.")).into()),
            _ => break,
        }
    }
    action.done()?;
    Ok(ExitCode::SUCCESS)
}

/// A bare domain cannot have a CNAME record.
fn record_type(hostname: &str) -> &'static str {
    if hostname.matches('.').count() < 2 {
        "ALIAS or ANAME"
    } else {
        "CNAME"
    }
}
