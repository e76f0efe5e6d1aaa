//! `buildpacks`, `buildpacks:*`: which buildpacks the next build uses, in order.

use std::process::ExitCode;

use ropewalk_client::types::BuildpackInstallation;

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::ui::{Failure, json};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Name (heroku/nodejs) or address
    #[arg(value_name = "BUILDPACK")]
    buildpack: String,
    /// Replace the one at this place, counted from 1
    #[arg(short, long, value_name = "INDEX", value_parser = clap::value_parser!(u32).range(1..))]
    index: Option<u32>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Name (heroku/nodejs) or address
    #[arg(value_name = "BUILDPACK")]
    buildpack: String,
    /// Insert it at this place, counted from 1; without it, last
    #[arg(short, long, value_name = "INDEX", value_parser = clap::value_parser!(u32).range(1..))]
    index: Option<u32>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Name (heroku/nodejs) or address
    #[arg(value_name = "BUILDPACK", required_unless_present = "index")]
    buildpack: Option<String>,
    /// Remove the one at this place, counted from 1
    #[arg(short, long, value_name = "INDEX", conflicts_with = "buildpack", value_parser = clap::value_parser!(u32).range(1..))]
    index: Option<u32>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let installed = cx.client()?.buildpacks(&app).await?;
    if args.json.json {
        json::print(&cx.out, &installed)?;
    } else if installed.is_empty() {
        cx.out
            .line(&format!("{} has no Buildpacks.", cx.out.paint().app(&app)))?;
    } else {
        cx.out.heading(&format!(
            "{app} Buildpack URL{}",
            if installed.len() > 1 { "s" } else { "" }
        ))?;
        cx.out.line(&numbered(&names(&installed)))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    change(cx, &args.app, args.json, "set", |list| {
        match args.index {
            None => *list = vec![args.buildpack],
            Some(index) => match list.get_mut(place(index)) {
                Some(there) => *there = args.buildpack,
                None => list.push(args.buildpack),
            },
        }
        Ok(())
    })
    .await
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    change(cx, &args.app, args.json, "added", |list| {
        if list.contains(&args.buildpack) {
            return Err(Failure::new(format!(
                "The buildpack {} is already set on your app.",
                args.buildpack
            )));
        }
        let at = args.index.map_or(list.len(), place).min(list.len());
        list.insert(at, args.buildpack);
        Ok(())
    })
    .await
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    change(cx, &args.app, args.json, "removed", |list| {
        let at = match (args.index, &args.buildpack) {
            (Some(index), _) => Some(place(index)).filter(|&at| at < list.len()),
            (None, name) => list.iter().position(|there| Some(there) == name.as_ref()),
        };
        let at = at.ok_or_else(|| {
            Failure::new("There is no such buildpack on your app.").hint("See ropewalk buildpacks.")
        })?;
        list.remove(at);
        Ok(())
    })
    .await
}

pub(crate) async fn clear(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let installed = cx.client()?.set_buildpacks(&app, &[]).await?;
    if args.json.json {
        json::print(&cx.out, &installed)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.line(&format!(
        "Buildpacks cleared. Next release on {} will detect buildpacks normally.",
        cx.out.paint().app(&app)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the list, changes it, writes it back whole.
async fn change(
    cx: &Context,
    app: &AppArgs,
    json: JsonArgs,
    done: &str,
    edit: impl FnOnce(&mut Vec<String>) -> Result<(), Failure>,
) -> anyhow::Result<ExitCode> {
    let app = cx.app(app).await?;
    let client = cx.client()?;
    let mut list = names(&client.buildpacks(&app).await?);
    edit(&mut list)?;
    let installed = client.set_buildpacks(&app, &list).await?;
    if json.json {
        json::print(&cx.out, &installed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let list = names(&installed);
    let paint = cx.out.paint();
    let head = format!("Buildpack {done}. Next release on {} will", paint.app(&app));
    match list.as_slice() {
        [] => cx
            .out
            .line(&format!("{head} detect buildpacks normally."))?,
        [only] => cx.out.line(&format!("{head} use {}.", paint.key(only)))?,
        several => cx
            .out
            .line(&format!("{head} use:\n{}", numbered(several)))?,
    }
    if !list.is_empty() {
        let which = if list.len() == 1 {
            "this buildpack"
        } else {
            "these buildpacks"
        };
        let push = paint.command("git push ropewalk main");
        cx.out.line(&format!(
            "Run {push} to create a new release using {which}."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As people type them: without `urn:buildpack:`.
fn names(installed: &[BuildpackInstallation]) -> Vec<String> {
    let url = |installation: &BuildpackInstallation| installation.buildpack.url.clone();
    installed
        .iter()
        .map(url)
        .map(|url| {
            url.strip_prefix("urn:buildpack:")
                .map_or(url.clone(), str::to_owned)
        })
        .collect()
}

fn numbered(names: &[String]) -> String {
    if let [only] = names {
        return only.clone();
    }
    let lines = names
        .iter()
        .enumerate()
        .map(|(at, name)| format!("  {}. {name}", at + 1));
    lines.collect::<Vec<_>>().join("\n")
}

/// People count from 1.
fn place(index: u32) -> usize {
    usize::try_from(index)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
}
