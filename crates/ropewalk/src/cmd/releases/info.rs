//! `releases:info`: one release with its config vars.

use std::process::ExitCode;

use ropewalk_client::types::{ConfigVars, Release};
use serde::Serialize;

use crate::cmd::config::list::quote;
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::release;
use crate::ui::{json, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version (v5) or id; without it, the newest
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    /// Output config vars in the form KEY='value' that a shell reads
    #[arg(short, long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Serialize)]
struct Info {
    release: Release,
    config_vars: ConfigVars,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let release = release(&client, &app, args.release.as_deref()).await?;
    let config_vars = client
        .release_config_vars(&app, &release.version.to_string())
        .await?;
    let info = Info {
        release,
        config_vars,
    };
    if args.json.json {
        json::print(&cx.out, &info)?;
    } else {
        show(cx, &info, args.shell)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(cx: &Context, info: &Info, shell: bool) -> std::io::Result<()> {
    let release = &info.release;
    cx.out.heading(&format!("Release v{}", release.version))?;
    let mut rows = vec![
        ("By".to_owned(), release.user.email.clone()),
        ("Change".to_owned(), release.description.clone()),
        ("Status".to_owned(), release.status.to_string()),
        ("When".to_owned(), time::ago(release.created_at)),
    ];
    if let Some(why) = &release.failure {
        rows.push(("Failure".to_owned(), why.clone()));
    }
    if release.current {
        rows.push(("Current".to_owned(), "yes".to_owned()));
    }
    if !release.eligible_for_rollback {
        rows.push(("Rollback".to_owned(), "not possible".to_owned()));
    }
    cx.out.line(&format!("{}\n", table::object(&rows)))?;
    cx.out
        .heading(&format!("v{} Config vars", release.version))?;
    if shell {
        return info
            .config_vars
            .iter()
            .try_for_each(|(key, value)| cx.out.line(&format!("{key}={}", quote(value))));
    }
    let paint = cx.out.paint();
    let pairs: Vec<(String, String)> = info
        .config_vars
        .iter()
        .map(|(key, value)| (paint.key(key), value.clone()))
        .collect();
    if pairs.is_empty() {
        Ok(())
    } else {
        cx.out.line(&table::object(&pairs))
    }
}
