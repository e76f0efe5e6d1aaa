//! The build cache: what an app's buildpacks keep from one successful build to the next.
//!
//! A build gets a clone of hard links, so that 45,000 files cost links and no copies; the clone takes the cache's
//! place in one step once the build has succeeded, and goes with the build's folder otherwise. Buildpacks replace
//! files rather than write into them (as npm, pip and the JVM's tools do); one that writes into an old file changes
//! the kept one too.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ropewalk_model::AppId;
use ropewalk_slug::{DYNO_ID, remove_tree};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::beneath::is_folder;
use crate::context::Context;
use crate::{Error, Result};

/// What a cache may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lent {
    /// Nothing was kept.
    Empty,
    Cloned,
    /// It was beyond the limits: the build begins without one.
    TooLarge,
}

pub(crate) fn path(context: &Context, app: AppId) -> PathBuf {
    context.options.data.join("cache").join(app.to_string())
}

/// Makes `to` a clone of the kept cache, or an empty folder. Blocking.
pub(crate) fn lend(kept: &Path, to: &Path, most: Most) -> Result<Lent> {
    make_folder(to)?;
    if !is_folder(kept) {
        return Ok(Lent::Empty);
    }
    match clone(kept, to, most) {
        Ok(true) => Ok(Lent::Cloned),
        // Deeper than paths can be, or beyond the limits: of no use to anybody.
        Ok(false) | Err(Error::Io { .. }) => {
            fs::remove_dir_all(to).map_err(Error::io("remove", to))?;
            make_folder(to)?;
            Ok(Lent::TooLarge)
        }
        Err(error) => Err(error),
    }
}

/// Puts the build's cache in the place of the kept one, which moves to where the build's was. One step: a crash
/// leaves either. Blocking.
pub(crate) fn keep(from: &Path, kept: &Path) -> Result<()> {
    if !is_folder(from) {
        return Ok(());
    }
    match renameat_with(CWD, from, CWD, kept, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => fs::rename(from, kept).map_err(Error::io("rename", from)),
        // A file system without exchange: a crash in between costs the cache, nothing else.
        Err(Errno::INVAL) => {
            let aside = from.with_extension("old");
            fs::rename(kept, &aside).map_err(Error::io("rename", kept))?;
            fs::rename(from, kept).map_err(Error::io("rename", from))
        }
        Err(error) => Err(Error::io("rename", from)(error.into())),
    }
}

/// Throws the cache away, in one step first so that no build gets half of it.
pub(crate) async fn purge(context: &Context, app: AppId) -> Result<()> {
    let kept = path(context, app);
    let aside = kept.with_file_name(format!(".purged-{}", uuid::Uuid::new_v4()));
    match fs::rename(&kept, &aside) {
        Ok(()) => Ok(remove_tree(&aside).await?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("rename", &kept)(error)),
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(Error::io("make", path))?;
    chown(path, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("give away", path))
}

/// `false` when it holds more than it may. Links are linked, never followed.
fn clone(from: &Path, to: &Path, most: Most) -> Result<bool> {
    let mut left = most;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let source = from.join(&folder);
        let target = to.join(&folder);
        for entry in fs::read_dir(&source).map_err(Error::io("list", &source))? {
            let entry = entry.map_err(Error::io("list", &source))?;
            let path = entry.path();
            let meta = entry.metadata().map_err(Error::io("look at", &path))?;
            left.files = match left.files.checked_sub(1) {
                Some(files) => files,
                None => return Ok(false),
            };
            let copy = target.join(entry.file_name());
            if meta.is_dir() {
                fs::create_dir(&copy).map_err(Error::io("make", &copy))?;
                chown(&copy, Some(meta.uid()), Some(meta.gid()))
                    .map_err(Error::io("give away", &copy))?;
                fs::set_permissions(&copy, fs::Permissions::from_mode(meta.mode() & 0o777))
                    .map_err(Error::io("change the mode of", &copy))?;
                folders.push(folder.join(entry.file_name()));
            } else if meta.is_file() || meta.is_symlink() {
                left.bytes = match left.bytes.checked_sub(meta.len()) {
                    Some(bytes) => bytes,
                    None => return Ok(false),
                };
                fs::hard_link(&path, &copy).map_err(Error::io("link", &path))?;
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const MOST: Most = Most {
        files: 100,
        bytes: 1000,
    };

    fn root() -> bool {
        rustix::process::getuid().is_root()
    }

    #[test]
    fn a_cache_is_lent_changed_and_kept() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (kept, lent) = (dir.path().join("kept"), dir.path().join("lent"));
        assert_eq!(lend(&kept, &lent, MOST).unwrap(), Lent::Empty);
        fs::create_dir(lent.join("npm")).unwrap();
        fs::write(lent.join("npm/a"), "one").unwrap();
        symlink("/etc/passwd", lent.join("npm/link")).unwrap();
        keep(&lent, &kept).unwrap();

        assert_eq!(lend(&kept, &lent, MOST).unwrap(), Lent::Cloned);
        assert_eq!(fs::metadata(lent.join("npm/a")).unwrap().nlink(), 2);
        assert!(lent.join("npm/link").is_symlink());
        fs::remove_file(lent.join("npm/a")).unwrap();
        assert!(
            kept.join("npm/a").exists(),
            "a failed build takes nothing away"
        );
        fs::write(lent.join("npm/b"), "two").unwrap();
        keep(&lent, &kept).unwrap();
        assert!(kept.join("npm/b").exists() && !kept.join("npm/a").exists());
        assert!(
            lent.join("npm/a").exists(),
            "the old one goes with the build's folder"
        );
    }

    #[test]
    fn a_cache_beyond_its_limits_is_not_lent() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (kept, lent) = (dir.path().join("kept"), dir.path().join("lent"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("a"), vec![0; 1001]).unwrap();
        assert_eq!(lend(&kept, &lent, MOST).unwrap(), Lent::TooLarge);
        assert_eq!(fs::read_dir(&lent).unwrap().count(), 0);
    }
}
