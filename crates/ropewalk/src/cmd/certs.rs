//! `certs`, `certs:*`: certificates for an app's own domains.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use ropewalk_client::Client;
use ropewalk_client::types::domain::{DomainKind, DomainUpdate};
use ropewalk_client::types::sni_endpoint::{Revocation, RevocationStatus, SniEndpointCreate};
use ropewalk_client::types::{Domain, Secret, SniEndpoint};

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json, prompt, table};

/// Largest file that is read as a certificate or key, in bytes.
const MAX_FILE: u64 = 128 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Certificate chain, PEM, the server's own certificate first
    #[arg(value_name = "CRT")]
    chain: PathBuf,
    /// Its private key, PEM, without a passphrase
    #[arg(value_name = "KEY")]
    key: PathBuf,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    files: AddArgs,
    #[command(flatten)]
    name: NameArgs,
    /// The app's name, instead of typing it when asked
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// Name of the certificate; not needed where there is only one
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
    /// The app's name, instead of typing it when asked
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let mut endpoints = client.sni_endpoints(&app).await?;
    endpoints.sort_by(by_names);
    if args.json.json {
        json::print(&cx.out, &endpoints)?;
        return Ok(ExitCode::SUCCESS);
    }
    if endpoints.is_empty() {
        cx.out.line(&format!(
            "{} has no certificates.\nUse {} to add one.",
            cx.out.paint().app(&app),
            cx.out.paint().command("ropewalk certs:add CRT KEY")
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let domains = client.domains(&app).await?;
    let mut table =
        Table::with_headings(&["Name", "Common Name(s)", "Expires", "Trusted", "Domains"]);
    for endpoint in &endpoints {
        table.row([
            endpoint.name.clone(),
            endpoint.ssl_cert.cert_domains.join(", "),
            day(endpoint.ssl_cert.expires_at),
            trusted(endpoint).to_owned(),
            served(endpoint, &domains).len().to_string(),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let wanted = read(&args.chain, &args.key).await?;
    let client = cx.client()?;
    let action = cx.out.action(&format!(
        "Adding SSL certificate to {}",
        cx.out.paint_err().app(&app)
    ));
    let endpoint = client.add_sni_endpoint(&app, &wanted).await?;
    action.done()?;
    // Domains that have none are served with it, as far as it is good for them.
    for domain in client.domains(&app).await? {
        let fits = domain.kind == DomainKind::Custom
            && domain.sni_endpoint.is_none()
            && endpoint
                .ssl_cert
                .cert_domains
                .iter()
                .any(|name| fits(name, &domain.hostname));
        if fits {
            let update = DomainUpdate {
                sni_endpoint: Some(endpoint.name.clone()),
            };
            client
                .update_domain(&app, &domain.hostname, &update)
                .await?;
        }
    }
    let endpoint = client.sni_endpoint(&app, &endpoint.name).await?;
    show(cx, &client, &app, &endpoint, args.json.json).await
}

pub(crate) async fn update(cx: &Context, args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.files.app).await?;
    let wanted = read(&args.files.chain, &args.files.key).await?;
    let client = cx.client()?;
    let endpoint = one(&client, &app, args.name.name).await?;
    let what = format!(
        "This will change the certificate {} of {app}.",
        endpoint.name
    );
    confirm(cx, &app, &what, args.confirm)?;
    let action = cx.out.action(&format!(
        "Updating SSL certificate {} for {}",
        endpoint.name,
        cx.out.paint_err().app(&app)
    ));
    let endpoint = client
        .update_sni_endpoint(&app, &endpoint.name, &wanted)
        .await?;
    action.done()?;
    show(cx, &client, &app, &endpoint, args.files.json.json).await
}

pub(crate) async fn info(cx: &Context, args: InfoArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let endpoint = one(&client, &app, args.name.name).await?;
    show(cx, &client, &app, &endpoint, args.json.json).await
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let endpoint = one(&client, &app, args.name.name).await?;
    let what = format!(
        "This will remove the certificate {} from {app}.",
        endpoint.name
    );
    confirm(cx, &app, &what, args.confirm)?;
    let action = cx.out.action(&format!(
        "Removing SSL certificate {} from {}",
        endpoint.name,
        cx.out.paint_err().app(&app)
    ));
    let removed = client.remove_sni_endpoint(&app, &endpoint.name).await?;
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

/// The certificate of that name, or the only one.
async fn one(client: &Client, app: &str, name: Option<String>) -> anyhow::Result<SniEndpoint> {
    if let Some(name) = name {
        return Ok(client.sni_endpoint(app, &name).await?);
    }
    let mut all = client.sni_endpoints(app).await?;
    all.sort_by(by_names);
    match all.len() {
        0 => Err(Failure::new(format!("{app} has no certificates."))
            .hint("Add one: ropewalk certs:add CRT KEY.")
            .into()),
        1 => Ok(all.remove(0)),
        _ => {
            let names: Vec<String> = all.into_iter().map(|endpoint| endpoint.name).collect();
            let text = format!("Which certificate? {app} has {}.", names.join(", "));
            Err(Failure::usage(text)
                .hint("Name it with --name NAME.")
                .into())
        }
    }
}

pub(super) fn confirm(
    cx: &Context,
    app: &str,
    what: &str,
    typed: Option<String>,
) -> anyhow::Result<()> {
    let typed = match typed {
        Some(typed) => typed,
        None => {
            cx.out.remark(&format!(
                "WARNING: {what}\nTo proceed, type {app} or re-run this command with\n--confirm {app}"
            ))?;
            prompt::ask("> ")?
        }
    };
    if typed.trim() == app {
        return Ok(());
    }
    let text = format!("Confirmation did not match {app}. Aborted.");
    Err(Failure::new(text).into())
}

async fn read(chain: &Path, key: &Path) -> anyhow::Result<SniEndpointCreate> {
    Ok(SniEndpointCreate {
        certificate_chain: text(chain).await?,
        private_key: Secret(text(key).await?),
    })
}

async fn text(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("{} cannot be read", path.display());
    let size = tokio::fs::metadata(path)
        .await
        .with_context(unreadable)?
        .len();
    if size > MAX_FILE {
        let text = format!(
            "{} is too large to be a certificate or a key.",
            path.display()
        );
        return Err(Failure::new(text).into());
    }
    tokio::fs::read_to_string(path)
        .await
        .with_context(unreadable)
}

async fn show(
    cx: &Context,
    client: &Client,
    app: &str,
    endpoint: &SniEndpoint,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    if as_json {
        json::print(&cx.out, endpoint)?;
        return Ok(ExitCode::SUCCESS);
    }
    let domains = client.domains(app).await?;
    cx.out.heading(&format!("Certificate {}", endpoint.name))?;
    cx.out.line(&details(endpoint, &domains))?;
    Ok(ExitCode::SUCCESS)
}

/// What a certificate says, and what it serves.
pub(super) fn details(endpoint: &SniEndpoint, domains: &[Domain]) -> String {
    let said = &endpoint.ssl_cert;
    let row = |key: &str, value: String| (key.to_owned(), value);
    let mut rows = vec![
        row("Common Name(s)", said.cert_domains.join(", ")),
        row("Domain(s)", served(endpoint, domains).join(", ")),
        row("Expires At", day(said.expires_at)),
        row("Issuer", said.issuer.clone()),
        row("Starts At", day(said.starts_at)),
        row("Subject", said.subject.clone()),
        row("Trusted", trusted(endpoint).to_owned()),
    ];
    rows.extend(
        said.revocation
            .as_ref()
            .map(|told| row("Revoked", revoked(told))),
    );
    table::object(&rows)
}

/// What the authority says.
fn revoked(told: &Revocation) -> String {
    let mut text = match told.status {
        RevocationStatus::Good => "no".to_owned(),
        RevocationStatus::Revoked => "YES, clients refuse it".to_owned(),
        RevocationStatus::Pending => "its authority is being asked".to_owned(),
        RevocationStatus::Unknown => "no answer of its authority".to_owned(),
    };
    if let Some(at) = told.revoked_at {
        text += &format!(", since {}", day(at));
    }
    if let Some(until) = told.stapled_until {
        text += &format!(", as clients are told until {}", day(until));
    }
    if let Some(reason) = &told.reason {
        text += &format!(" ({reason})");
    }
    if told.must_staple && told.stapled_until.is_none() {
        text += "; clients refuse it without one (must-staple)";
    }
    text
}

fn by_names(a: &SniEndpoint, b: &SniEndpoint) -> Ordering {
    let names = |one: &SniEndpoint| (one.ssl_cert.cert_domains.clone(), one.created_at);
    names(a).cmp(&names(b))
}

fn served(endpoint: &SniEndpoint, domains: &[Domain]) -> Vec<String> {
    domains
        .iter()
        .filter(|domain| endpoint.domains.contains(&domain.id))
        .map(|domain| domain.hostname.clone())
        .collect()
}

fn trusted(endpoint: &SniEndpoint) -> &'static str {
    match endpoint.ssl_cert.ca_signed {
        true => "True",
        false => "False (self signed)",
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Whether a name in a certificate is good for a host name.
fn fits(name: &str, hostname: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let zone = hostname.split_once('.').map(|(_, zone)| zone);
    name == hostname
        || name
            .strip_prefix("*.")
            .is_some_and(|rest| zone == Some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_good_for_one_label() {
        for (name, host, good) in [
            ("www.example.com", "www.example.com", true),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", "*.example.com", true),
            ("example.com", "www.example.com", false),
        ] {
            assert_eq!(fits(name, host), good, "{name} {host}");
        }
    }
}
