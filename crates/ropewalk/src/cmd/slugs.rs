//! `slugs`, `slugs:info`, `slugs:download`: the built trees behind releases.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use ropewalk_client::Client;
use ropewalk_client::types::{Release, Slug};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json, table, time};

/// Releases that are looked through.
const RELEASES: u32 = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// Id of the slug, or a release (v7); without it, the current release's
    #[arg(value_name = "SLUG")]
    slug: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DownloadArgs {
    /// Id of the slug, or a release (v7); without it, the current release's
    #[arg(value_name = "SLUG")]
    slug: Option<String>,
    /// Folder to make and unpack it into; the app's name unless said otherwise
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the archive and do not unpack it
    #[arg(long)]
    no_extract: bool,
    #[command(flatten)]
    app: AppArgs,
}

/// A slug and the newest release that runs it.
#[derive(Serialize)]
struct Listed {
    id: Uuid,
    release: Release,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let releases = cx.client()?.releases(&app, RELEASES).await?;
    let mut seen = Vec::new();
    for release in releases {
        let Some(slug) = &release.slug else { continue };
        let id = slug.id;
        if seen.iter().all(|one: &Listed| one.id != id) {
            seen.push(Listed { id, release });
        }
    }
    if args.json.json {
        json::print(&cx.out, &seen)?;
    } else if seen.is_empty() {
        cx.out
            .line(&format!("{} has no slugs.", cx.out.paint().app(&app)))?;
    } else {
        cx.out.heading(&format!("{app} Slugs"))?;
        let mut table = Table::bare();
        for Listed { id, release } in &seen {
            table.row([
                format!("v{}", release.version),
                id.to_string(),
                release.description.clone(),
                time::ago(release.created_at),
            ]);
        }
        cx.out.line(&table.render())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn info(cx: &Context, args: InfoArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let slug = find(&cx.client()?, &app, args.slug.as_deref()).await?;
    if args.json.json {
        json::print(&cx.out, &slug)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ("Stack".to_owned(), slug.stack.name.clone()),
        ("When".to_owned(), time::ago(slug.created_at)),
    ];
    if let Some(size) = slug.size {
        rows.push(("Size".to_owned(), format!("{:.1} MB", size as f64 / 1e6)));
    }
    for (name, value) in [
        ("Commit", &slug.commit),
        ("Checksum", &slug.checksum),
        ("Buildpacks", &slug.buildpack_provided_description),
    ] {
        rows.extend(value.clone().map(|value| (name.to_owned(), value)));
    }
    for (name, command) in &slug.process_types {
        rows.push((format!("Process {name}"), command.clone()));
    }
    cx.out.heading(&format!("Slug {}", slug.id))?;
    cx.out.line(&table::object(&rows))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn download(cx: &Context, args: DownloadArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let slug = find(&client, &app, args.slug.as_deref()).await?;
    let folder = args.dir.unwrap_or_else(|| PathBuf::from(&app));
    let unwritable = |error: std::io::Error| {
        let failure = Failure::new(format!("{} cannot be written: {error}.", folder.display()));
        match error.kind() {
            ErrorKind::AlreadyExists => failure
                .hint("Remove it, or name another folder: ropewalk slugs:download RELEASE DIR."),
            _ => failure,
        }
    };
    tokio::fs::create_dir(&folder).await.map_err(unwritable)?;
    let file = folder.join("slug.tar.gz");
    let action = cx.out.action(&format!(
        "Downloading slug {} to {}",
        slug.id,
        folder.display()
    ));
    fetch(&client, &slug, &file).await?;
    if !args.no_extract {
        let mut tar = tokio::process::Command::new("tar");
        tar.arg("-xzf").arg("slug.tar.gz");
        let status = tar
            .current_dir(&folder)
            .stdin(Stdio::null())
            .status()
            .await
            .map_err(|error| Failure::new(format!("tar could not be run: {error}.")))?;
        if !status.success() {
            return Err(Failure::new("tar could not unpack the slug.").into());
        }
    }
    action.done()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a slug's archive to a new file. Returns its length in bytes.
pub(crate) async fn fetch(client: &Client, slug: &Slug, path: &Path) -> anyhow::Result<u64> {
    let mut archive = client.archive(&slug.blob.url).await?;
    let mut file = tokio::fs::File::create_new(path).await?;
    let mut length = 0;
    while let Some(bytes) = archive.chunk().await? {
        length += bytes.len() as u64;
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok(length)
}

async fn find(client: &Client, app: &str, typed: Option<&str>) -> anyhow::Result<Slug> {
    let id = match typed {
        Some(typed) if !typed.starts_with('v') => typed.to_owned(),
        typed => {
            let releases = client.releases(app, RELEASES).await?;
            let wanted = releases.into_iter().find(|release| match typed {
                Some(version) => format!("v{}", release.version) == version,
                None => release.current,
            });
            let slug = wanted.and_then(|release| release.slug);
            slug.ok_or_else(|| match typed {
                Some(version) => {
                    Failure::new(format!("{app} has no release {version} with a slug."))
                        .hint("Run ropewalk slugs to see which slugs there are.")
                }
                None => Failure::new(format!("{app} runs no code yet."))
                    .hint("Push code: git push ropewalk main."),
            })?
            .id
            .to_string()
        }
    };
    Ok(client.slug(app, &id).await?)
}
