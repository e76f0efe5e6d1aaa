//! The base: an app's source as files, kept from build to build.
//!
//! ```text
//! bases/<app>/<build>/app/   the files of a git tree, the build's user owning them
//! bases/<app>/at             which folder that is, of which tree, since which start of the host
//! bases/<app>/slug           what the app's last slug was packed from (`pack.rs`)
//! ```
//! A build gets a view of it and never writes into it; the next push moves it on by what git says differs. So a change
//! of one line in 45,000 files writes one file, and no build removes them, which takes some file systems ten times as
//! long as reading them. A file that changed is as old as the build that brought it, as build tools expect.
//!
//! A base saves time and is no record: one that is not known to be whole is put aside and written anew. It goes with
//! the build cache, and when the disk fills.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ropewalk_model::{AppId, BuildId};
use ropewalk_slug::remove_tree;

use super::beneath::is_folder;
use super::changes::Changes;
use super::checkout::{self, Objects};
use super::failure::Failure;
use crate::context::Context;
use crate::git::command::run;
use crate::git::refs::is_object_id;
use crate::{Error, Result};

/// Longest time for comparing two trees.
const LIMIT: Duration = Duration::from_secs(60);
/// Changes with every start of the host: what was written before may not all have reached the disk.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// What `at` says.
#[derive(Debug, PartialEq, Eq)]
struct At {
    folder: String,
    tree: String,
    boot: String,
}

/// A base that is whole, and what makes it the files of another tree.
pub(crate) struct Next {
    folder: String,
    changes: Changes,
}

/// What makes the app's base the files of a commit; `None` when they are better written as a whole. Changes nothing.
pub(crate) async fn compare(
    context: &Context,
    objects: &Objects,
    app: AppId,
    commit: &str,
) -> Result<Option<Next>, Failure> {
    let kept = path(context, app);
    let boot = boot();
    let found = read(&kept).filter(|at| at.boot == boot && !boot.is_empty());
    if let Some(at) = found
        && is_object_id(commit)
        && is_folder(&kept.join(&at.folder))
        && let Some(changes) = diff(context, objects, &at.tree, commit).await?
    {
        let folder = at.folder;
        return Ok(Some(Next { folder, changes }));
    }
    Ok(None)
}

/// Makes the app's base the files of `tree`, and returns its folder, in which `app` lies. Old ones go to `aside`. Only
/// one build of an app may do so at a time, and no view of the base may be open.
pub(crate) async fn bring(
    context: &Context,
    objects: &Objects,
    app: AppId,
    build: BuildId,
    tree: &str,
    next: Option<Next>,
    aside: &Path,
) -> Result<PathBuf, Failure> {
    let kept = path(context, app);
    // From here until it is whole again, nobody believes in it.
    forget(&kept)?;
    let name = match next {
        Some(Next { folder, changes }) => {
            checkout::move_on(context, objects, changes, &kept.join(&folder)).await?;
            folder
        }
        None => {
            put_aside(&kept, aside)?;
            let name = build.to_string();
            checkout::write(context, objects, tree, &kept.join(&name)).await?;
            name
        }
    };
    let folder = kept.join(&name);
    note(
        &kept,
        &At {
            folder: name,
            tree: tree.to_owned(),
            boot: boot(),
        },
    )?;
    Ok(folder)
}

fn boot() -> String {
    let boot = fs::read_to_string(BOOT).unwrap_or_default();
    boot.trim().to_owned()
}

/// Where what is known of the app's last slug is noted.
pub(crate) fn notes(context: &Context, app: AppId) -> PathBuf {
    path(context, app).join("slug")
}

fn path(context: &Context, app: AppId) -> PathBuf {
    context.options.data.join("bases").join(app.to_string())
}

/// Throws an app's base away. One that is being built upon is only forgotten, and goes with the next build.
pub(crate) async fn purge(context: &Context, app: AppId) -> Result<()> {
    match remove(context, app).await? {
        true => Ok(()),
        false => forget(&path(context, app)),
    }
}

/// Throws away every base that is not being built upon: the disk fills. The others stay as they are, for to write one
/// anew takes twice its room.
pub(crate) async fn purge_all(context: &Context) -> Result<()> {
    for app in apps(context)? {
        remove(context, app).await?;
    }
    Ok(())
}

/// `false` when the app is being built. In one step first, so that no build gets half of it.
async fn remove(context: &Context, app: AppId) -> Result<bool> {
    let kept = path(context, app);
    let gone = kept.with_file_name(format!(".gone-{}", uuid::Uuid::new_v4()));
    let moved = context
        .queue
        .unless_building(app, || fs::rename(&kept, &gone));
    match moved {
        None => Ok(false),
        Some(Ok(())) => Ok(remove_tree(&gone).await.map(|()| true)?),
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(true),
        Some(Err(error)) => Err(Error::io("rename", &kept)(error)),
    }
}

/// Apps of which something is kept.
pub(crate) fn apps(context: &Context) -> Result<Vec<AppId>> {
    let folder = context.options.data.join("bases");
    let mut apps = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
        let entry = entry.map_err(Error::io("list", &folder))?;
        let name = entry.file_name();
        apps.extend(name.to_str().and_then(|name| name.parse::<AppId>().ok()));
    }
    Ok(apps)
}

/// What differs between two trees; `None` when git does not have the old one any more, or the whole is better written.
async fn diff(
    context: &Context,
    objects: &Objects,
    old: &str,
    new: &str,
) -> Result<Option<Changes>> {
    let mut command = objects.command(context);
    command.args(["diff-tree", "-r", "-z", "--no-renames", old, new]);
    match run(&mut command, "diff-tree", LIMIT).await {
        Ok(output) => Ok(Changes::read(&output)),
        Err(Error::Git { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(kept: &Path) -> Option<At> {
    let text = fs::read_to_string(kept.join("at")).ok()?;
    let mut words = text.split_whitespace().map(str::to_owned);
    let (folder, tree, boot) = (words.next()?, words.next()?, words.next()?);
    // A name that we gave, and nothing that leads elsewhere.
    uuid::Uuid::parse_str(&folder).ok()?;
    is_object_id(&tree).then_some(At { folder, tree, boot })
}

fn note(kept: &Path, at: &At) -> Result<()> {
    let unfinished = kept.join(".at");
    let line = format!("{} {} {}\n", at.folder, at.tree, at.boot);
    fs::write(&unfinished, line).map_err(Error::io("write", &unfinished))?;
    fs::rename(&unfinished, kept.join("at")).map_err(Error::io("rename", &unfinished))
}

fn forget(kept: &Path) -> Result<()> {
    let at = kept.join("at");
    match fs::remove_file(&at) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", at)(error)),
        _ => Ok(()),
    }
}

/// Moves what is there to where it is removed without anybody waiting.
fn put_aside(kept: &Path, aside: &Path) -> Result<()> {
    match fs::rename(kept, aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io("rename", kept)(error));
        }
        _ => {}
    }
    fs::create_dir_all(kept).map_err(Error::io("make", kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_noted_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
        let at = At {
            folder: uuid::Uuid::new_v4().to_string(),
            tree: "a".repeat(40),
            boot: "b".to_owned(),
        };
        note(dir.path(), &at).unwrap();
        assert_eq!(read(dir.path()), Some(at));
        for odd in ["", "x", "../../etc 0 b", "a b c"] {
            fs::write(dir.path().join("at"), odd).unwrap();
            assert_eq!(read(dir.path()), None, "{odd}");
        }
        forget(dir.path()).unwrap();
        forget(dir.path()).unwrap();
        assert_eq!(read(dir.path()), None);
    }
}
