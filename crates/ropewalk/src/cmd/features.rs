//! `features`, `features:*`: switches of one app. What Heroku calls labs are features that are not finished; there are
//! none of those.

use std::process::ExitCode;

use ropewalk_client::types::AppFeature;

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::table::{Table, object};
use crate::ui::{Failure, json};

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// Name of the feature
    #[arg(value_name = "FEATURE")]
    feature: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut features = cx.client()?.features(&app).await?;
    features.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json.json {
        json::print(&cx.out, &features)?;
        return Ok(ExitCode::SUCCESS);
    }
    if features.is_empty() {
        cx.out
            .line(&format!("{} has no features.", cx.out.paint().app(&app)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    cx.out
        .heading(&format!("App Features {}", paint.app(&app)))?;
    let mut table = Table::bare();
    for feature in features {
        let name = match feature.enabled {
            true => paint.good(&format!("[+] {}", feature.name)),
            false => format!("[ ] {}", feature.name),
        };
        table.row([name, feature.description]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn info(cx: &Context, args: NameArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let feature = cx.client()?.feature(&app, &args.feature).await?;
    if args.json.json {
        json::print(&cx.out, &feature)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut rows = vec![
        row("Description", &feature.description),
        row("Enabled", if feature.enabled { "true" } else { "false" }),
    ];
    if !feature.doc_url.is_empty() {
        rows.push(row("Docs", &feature.doc_url));
    }
    cx.out.heading(&feature.name)?;
    cx.out.line(&object(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// Like Heroku's CLI it fails where there is nothing to switch, so that scripts can tell.
pub(crate) async fn switch(cx: &Context, args: NameArgs, on: bool) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let (verb, state) = match on {
        true => ("Enabling", "enabled"),
        false => ("Disabling", "disabled"),
    };
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "{verb} {} for {}",
        paint.key(&args.feature),
        paint.app(&app)
    ));
    let before: AppFeature = client.feature(&app, &args.feature).await?;
    if before.enabled == on {
        return Err(Failure::new(format!("{} is already {state}.", before.name)).into());
    }
    let feature = client.switch_feature(&app, &before.name, on).await?;
    action.done()?;
    args.json.print(cx, &feature)?;
    Ok(ExitCode::SUCCESS)
}
