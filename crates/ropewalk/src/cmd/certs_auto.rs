//! `certs:auto`, `certs:auto:*`: certificates that the platform gets and renews by itself.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ropewalk_client::Client;
use ropewalk_client::types::domain::DomainKind;
use ropewalk_client::types::{Domain, SniEndpoint};

use crate::cmd::certs;
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json, time};

/// What the API says of a domain that has its certificate.
const ISSUED: &str = "cert issued";

/// Between two looks while waiting, and for all of it.
const POLL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Wait until every domain has its certificate
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DisableArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
    /// The app's name, instead of typing it when asked
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

pub(crate) async fn show(cx: &Context, args: ShowArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let enabled = client.app(&app).await?.acm;
    if args.wait && enabled {
        wait(cx, &client, &app).await?;
    }
    let domains = custom(&client, &app).await?;
    if args.json.json {
        json::print(&cx.out, &domains)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    let name = paint.app(&app);
    if !enabled {
        cx.out.line(&format!(
            "Automatic Certificate Management is {} on {name}.\nUse {} to enable it.",
            paint.warning("disabled"),
            paint.command("ropewalk certs:auto:enable")
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading(&format!(
        "Automatic Certificate Management is {} on {name}",
        paint.good("enabled")
    ))?;
    let endpoints = client.sni_endpoints(&app).await?;
    if let [endpoint] = endpoints.as_slice()
        && endpoint.ssl_cert.acm
    {
        cx.out.line(&certs::details(endpoint, &domains))?;
        cx.out.line("")?;
    }
    if domains.is_empty() {
        cx.out.line(&format!(
            "The app has no domain of its own. Add one: {}",
            paint.command("ropewalk domains:add HOSTNAME")
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.line(&table(&domains, &endpoints))?;
    let has = |status: &str| {
        domains
            .iter()
            .any(|domain| domain.acm_status.as_deref() == Some(status))
    };
    if has("failed") {
        cx.out.line(&format!(
            "\nDomains that failed are not tried again by themselves. Once the cause is gone: {}",
            paint.command("ropewalk certs:auto:refresh")
        ))?;
    } else if has("failing") {
        cx.out.line(&format!(
            "\nDomains that are failing are tried again by themselves. Check that their DNS leads here: {}",
            paint.command("ropewalk domains")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn enable(cx: &Context, args: ShowArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let action = cx.out.action("Enabling Automatic Certificate Management");
    let enabled = client.enable_acm(&app).await?;
    let next = cx.out.paint_err().command("ropewalk certs:auto");
    action.end(&format!("starting. See how far it is with {next}"))?;
    if args.wait {
        wait(cx, &client, &app).await?;
    }
    args.json.print(cx, &enabled)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn refresh(cx: &Context, args: RefreshArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let action = cx.out.action("Refreshing Automatic Certificate Management");
    let refreshed = cx.client()?.refresh_acm(&app).await?;
    action.done()?;
    args.json.print(cx, &refreshed)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn disable(cx: &Context, args: DisableArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let what = format!(
        "This will remove the certificates that the platform got for {app}; browsers will warn of its domains."
    );
    certs::confirm(cx, &app, &what, args.confirm)?;
    let action = cx.out.action("Disabling Automatic Certificate Management");
    let disabled = client.disable_acm(&app).await?;
    action.done()?;
    args.json.print(cx, &disabled)?;
    Ok(ExitCode::SUCCESS)
}

async fn custom(client: &Client, app: &str) -> anyhow::Result<Vec<Domain>> {
    let mut domains = client.domains(app).await?;
    domains.retain(|domain| domain.kind == DomainKind::Custom);
    domains.sort_by(|a, b| a.hostname.cmp(&b.hostname));
    Ok(domains)
}

/// Until no domain is on its way any more.
async fn wait(cx: &Context, client: &Client, app: &str) -> anyhow::Result<()> {
    let action = cx.out.action("Waiting until the certificates are issued");
    let give_up = Instant::now() + PATIENCE;
    loop {
        let domains = custom(client, app).await?;
        let failed = domains
            .iter()
            .find(|domain| matches!(domain.acm_status.as_deref(), Some("failing" | "failed")));
        if let Some(domain) = failed {
            let reason = domain
                .acm_status_reason
                .as_deref()
                .unwrap_or("no reason given");
            let text = format!("No certificate for {}: {reason}", domain.hostname);
            return Err(Failure::new(text)
                .hint("Once the cause is gone: ropewalk certs:auto:refresh.")
                .into());
        }
        // One that is served with a certificate of its own has no status.
        let is_on_its_way = |domain: &Domain| match domain.acm_status.as_deref() {
            Some(status) => status != ISSUED && status != "ok",
            None => domain.sni_endpoint.is_none(),
        };
        if !domains.iter().any(is_on_its_way) {
            break;
        }
        if Instant::now() >= give_up {
            let text = format!("No certificates after {} s.", PATIENCE.as_secs());
            return Err(Failure::new(text)
                .hint("See how far it is: ropewalk certs:auto.")
                .into());
        }
        tokio::time::sleep(POLL).await;
    }
    action.done()?;
    Ok(())
}

fn table(domains: &[Domain], endpoints: &[SniEndpoint]) -> String {
    let reasons = domains
        .iter()
        .any(|domain| domain.acm_status_reason.is_some());
    let mut headings = vec!["Domain", "Status"];
    headings.extend(reasons.then_some("Reason"));
    headings.push("Last Updated");
    let mut table = Table::with_headings(&headings);
    for domain in domains {
        let mut row = vec![
            domain.hostname.clone(),
            status(domain, endpoints).to_owned(),
        ];
        if reasons {
            row.push(domain.acm_status_reason.clone().unwrap_or_default());
        }
        row.push(time::ago(domain.updated_at));
        table.row(row);
    }
    table.render()
}

/// As Heroku's CLI says it.
fn status(domain: &Domain, endpoints: &[SniEndpoint]) -> &'static str {
    let is_brought = domain.sni_endpoint.as_ref().is_some_and(|served| {
        endpoints
            .iter()
            .any(|endpoint| endpoint.id == served.id && !endpoint.ssl_cert.acm)
    });
    match domain.acm_status.as_deref() {
        _ if is_brought => "Own Certificate",
        None | Some("pending") => "Waiting",
        Some("verified") => "In Progress",
        Some(ISSUED | "ok") => "OK",
        Some("failing") => "Failing",
        Some("failed") => "Failed",
        Some(_) => "Unknown",
    }
}
