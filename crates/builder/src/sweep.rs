//! What an earlier run of the server left behind is removed before anything new begins.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_slug::view::unmount_below;
use ropewalk_slug::{Digest, image, remove_tree, staging};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::build::cache;
use crate::build::sandbox::{KIND, LABEL_KIND};
use crate::context::Context;
use crate::{Error, Result, slugs, sources};

/// Folders of the data directory that are ours to fill.
const FOLDERS: [&str; 7] = [
    "repos", "slugs", "builds", "cache", "bases", "hooks", "sources",
];

/// The ones that hold a tree of many files for each app or build.
const SPREAD: [&str; 3] = ["builds", "cache", "bases"];

/// How much was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Builds marked as failed.
    pub builds: usize,
    /// Test runs marked as errored.
    pub tests: usize,
    pub containers: usize,
    /// Work folders of builds, and caches that were being removed.
    pub folders: usize,
    /// Half received pushes and locks in repositories.
    pub repositories: usize,
    /// Slug images that no slug names.
    pub slugs: usize,
    /// Repositories, caches and bases of apps that are no more.
    pub apps: usize,
    /// Source archives that are too old, or were cut off, and slugs that waited too long for theirs.
    pub sources: usize,
}

pub(crate) fn make_folders(data: &Path) -> Result<()> {
    for name in FOLDERS {
        let path = data.join(name);
        fs::create_dir_all(&path).map_err(Error::io("make", &path))?;
        if SPREAD.contains(&name) {
            spread(&path);
        }
    }
    Ok(())
}

/// Tells ext4 that the folders in this one have nothing to do with each other, so that a new tree of many files does
/// not lie where another was just removed. A file system that knows no such thing does without.
fn spread(folder: &Path) {
    let told = fs::File::open(folder).and_then(|folder| {
        let flags = ioctl_getflags(&folder)?;
        Ok(ioctl_setflags(&folder, flags | IFlags::TOPDIR)?)
    });
    if let Err(error) = told {
        tracing::debug!(folder = %folder.display(), %error, "No hint for the file system.");
    }
}

pub(crate) async fn sweep(context: &Context) -> Result<Swept> {
    let builds = context
        .store
        .write(|tx| tx.fail_interrupted_builds(Timestamp::now()))
        .await?;
    let (tests, apps_of_tests) = context
        .store
        .write(|tx| tx.end_interrupted_tests(Timestamp::now()))
        .await?;
    for app in apps_of_tests {
        context.outputs.forget(app);
    }
    let containers = containers(context).await?;
    let data = &context.options.data;
    unmount_below(&data.join("builds")).await?;
    let folders = all_in(&data.join("builds"), |_| true).await?
        + all_in(&data.join("cache"), |name| name.starts_with('.')).await?
        + all_in(&data.join("bases"), |name| name.starts_with('.')).await?;
    let swept = Swept {
        builds,
        tests,
        containers,
        folders,
        repositories: context.repos.sweep().await?,
        slugs: slug_images(context).await?,
        apps: apps(context).await?,
        sources: sources::sweep(context)? + slugs::forget(context).await?,
    };
    if swept != Swept::default() {
        tracing::info!(?swept, "Removed what interrupted builds left behind.");
    }
    Ok(swept)
}

/// What belongs to no app. Files come after an app's row, so what was there before the ledger was asked and has no row
/// then belongs to an app that was destroyed.
pub(crate) async fn apps(context: &Context) -> Result<usize> {
    let (repos, caches) = (context.repos.apps()?, cache::apps(context)?);
    let (known, pipelines) = context
        .store
        .read(|view| Ok((view.apps()?, view.pipelines()?)))
        .await?;
    let mut known: HashSet<AppId> = known.into_iter().map(|app| app.id).collect();
    // The cache of a pipeline's tests has the pipeline's id.
    known.extend(pipelines.into_iter().map(|pipeline| AppId(pipeline.id.0)));
    let mut removed = 0;
    for app in repos.into_iter().filter(|app| !known.contains(app)) {
        context.repos.remove(app).await?;
        removed += 1;
    }
    for app in caches.into_iter().filter(|app| !known.contains(app)) {
        cache::purge(context, app).await?;
        removed += 1;
    }
    Ok(removed)
}

async fn containers(context: &Context) -> Result<usize> {
    let mut removed = 0;
    for container in context.engine.list().await? {
        if container
            .labels
            .get(LABEL_KIND)
            .is_some_and(|kind| kind == KIND)
        {
            context.engine.remove(&container.id).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn all_in(folder: &Path, which: impl Fn(&str) -> bool) -> Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        if which(&entry.file_name().to_string_lossy()) {
            remove_tree(&entry.path()).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A build may end between the image and its row.
async fn slug_images(context: &Context) -> Result<usize> {
    let folder = context.options.data.join("slugs");
    let named = context.store.read(|view| view.slug_images()).await?;
    let named: HashSet<Digest> = named
        .iter()
        .filter_map(|digest| digest.parse().ok())
        .collect();
    let unfinished = staging::sweep(&folder)?;
    let unnamed = all_in(&folder, |name| {
        image::of_file(name).is_some_and(|image| !named.contains(&image))
    })
    .await?;
    Ok(unfinished + unnamed)
}
