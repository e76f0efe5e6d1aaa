//! `apps:info`: everything about one app.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ropewalk_client::types::{App, Collaborator, Dyno};
use serde::Serialize;

use crate::cmd::config::list::quote;
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::{json, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the app
    #[arg(value_name = "APP")]
    name: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    /// Output in the form key=value that a shell reads
    #[arg(short, long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Serialize)]
struct Info {
    app: App,
    collaborators: Vec<Collaborator>,
    dynos: Vec<Dyno>,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = match args.name {
        Some(name) => name,
        None => cx.app(&args.app).await?,
    };
    let client = cx.client()?;
    let (app, dynos, collaborators) = tokio::join!(
        client.app(&app),
        client.dynos(&app),
        client.collaborators(&app)
    );
    let info = Info {
        app: app?,
        dynos: dynos?,
        collaborators: collaborators?,
    };
    if args.json.json {
        json::print(&cx.out, &info)?;
    } else if args.shell {
        for (key, value) in variables(&info) {
            cx.out.line(&format!("{key}={}", quote(&value)))?;
        }
    } else {
        cx.out.heading(&info.app.name)?;
        cx.out.line(&table::object(&rows(&info)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(info: &Info) -> Vec<(String, String)> {
    let app = &info.app;
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |key: &str, value: String| rows.push((key.to_owned(), value));
    let others: Vec<&str> = info
        .collaborators
        .iter()
        .map(|collaborator| collaborator.user.email.as_str())
        .filter(|email| *email != app.owner.email)
        .collect();
    if app.acm {
        row("Auto Cert Mgmt", "true".into());
    }
    if !others.is_empty() {
        row("Collaborators", others.join(", "));
    }
    row("Dynos", dyno_counts(&info.dynos));
    row("Git URL", app.git_url.clone());
    if app.maintenance {
        row("Maintenance", "on".into());
    }
    row("Owner", app.owner.email.clone());
    row("Region", app.region.name.clone());
    row("Repo Size", size(app.repo_size.unwrap_or(0)));
    row("Slug Size", size(app.slug_size.unwrap_or(0)));
    row("Stack", stack(app));
    row("Web URL", app.web_url.clone().unwrap_or_default());
    rows
}

/// What `--shell` tells, under the names that scripts know.
fn variables(info: &Info) -> Vec<(&'static str, String)> {
    let app = &info.app;
    vec![
        ("auto_cert_mgmt", app.acm.to_string()),
        ("git_url", app.git_url.clone()),
        ("web_url", app.web_url.clone().unwrap_or_default()),
        ("repo_size", size(app.repo_size.unwrap_or(0))),
        ("slug_size", size(app.slug_size.unwrap_or(0))),
        ("owner", app.owner.email.clone()),
        ("region", app.region.name.clone()),
        ("dynos", dyno_counts(&info.dynos)),
        ("stack", app.stack.name.clone()),
    ]
}

/// The stack that runs, and the one of the next build when it differs.
fn stack(app: &App) -> String {
    if app.stack.name == app.build_stack.name {
        return app.stack.name.clone();
    }
    format!(
        "{} (next build will use {})",
        app.stack.name, app.build_stack.name
    )
}

fn dyno_counts(dynos: &[Dyno]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for dyno in dynos {
        *counts.entry(&dyno.process_type).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(process_type, count)| format!("{process_type}: {count}"))
        .collect();
    counts.join(", ")
}

/// `1.5 MB`, in powers of 1000.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KB", "MB", "GB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 KB"),
            (63_000_000, "63.0 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
