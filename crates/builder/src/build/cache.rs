//! The build cache: what an app's buildpacks keep from one successful build to the next.
//!
//! A build gets a clone, which takes the cache's place in one step once the build has succeeded, and goes with the
//! build's folder otherwise. Small files near the top, where buildpacks note what they kept, are copies: a failed
//! build that writes into one changes nothing. The rest are hard links, so that 45,000 files cost links and no
//! copies; package managers replace files rather than write into them, and one that does not changes the kept one too.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ropewalk_model::AppId;
use ropewalk_slug::{DYNO_ID, remove_tree};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::ahead;
use super::base;
use super::beneath::is_folder;
use crate::context::Context;
use crate::options::Limits;
use crate::{Error, Result};

/// Files up to this many bytes are copied, not linked.
const SMALL: u64 = 64 << 10;
/// Most copies, for they cost several times what links do: enough for notes, and not for all of a language's runtime.
const MAX_COPIES: usize = 512;

/// What a cache may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Most {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            files: limits.cache_files,
            bytes: limits.cache_bytes,
        }
    }
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

/// Apps of which a cache or a base is kept.
pub(crate) fn apps(context: &Context) -> Result<BTreeSet<AppId>> {
    let folder = context.options.data.join("cache");
    let mut apps = BTreeSet::from_iter(base::apps(context)?);
    for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
        let entry = entry.map_err(Error::io("list", &folder))?;
        let name = entry.file_name();
        apps.extend(name.to_str().and_then(|name| name.parse::<AppId>().ok()));
    }
    Ok(apps)
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

/// Throws the cache away, in one step first so that no build gets half of it, and the base with it.
pub(crate) async fn purge(context: &Context, app: AppId) -> Result<()> {
    base::purge(context, app).await?;
    ahead::forget(context, app);
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

/// `false` when it holds more than it may. Links are linked, never followed. Nearer to the top comes first.
fn clone(from: &Path, to: &Path, most: Most) -> Result<bool> {
    let mut left = most;
    let mut copies = MAX_COPIES;
    let mut folders = VecDeque::from([PathBuf::new()]);
    while let Some(folder) = folders.pop_front() {
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
                folders.push_back(folder.join(entry.file_name()));
            } else if meta.is_file() || meta.is_symlink() {
                left.bytes = match left.bytes.checked_sub(meta.len()) {
                    Some(bytes) => bytes,
                    None => return Ok(false),
                };
                if meta.is_file() && meta.len() <= SMALL && copies > 0 {
                    copies -= 1;
                    duplicate(&path, &copy, &meta).map_err(Error::io("copy", &path))?;
                } else {
                    fs::hard_link(&path, &copy).map_err(Error::io("link", &path))?;
                }
            }
        }
    }
    Ok(true)
}

/// A file of its own with the same content, owner, mode and time: buildpacks look at the age of what they keep.
fn duplicate(from: &Path, to: &Path, meta: &fs::Metadata) -> std::io::Result<()> {
    fs::copy(from, to)?;
    chown(to, Some(meta.uid()), Some(meta.gid()))?;
    let times = fs::FileTimes::new().set_modified(meta.modified()?);
    fs::File::open(to)?.set_times(times)
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
        assert_eq!(fs::metadata(lent.join("npm/a")).unwrap().nlink(), 1);
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
    fn a_failed_build_that_writes_into_small_files_changes_nothing() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (kept, lent) = (dir.path().join("kept"), dir.path().join("lent"));
        fs::create_dir_all(kept.join("nodejs")).unwrap();
        let (key, large) = (Path::new("nodejs/modules.key"), Path::new("nodejs/large"));
        fs::write(kept.join(key), "one").unwrap();
        fs::write(kept.join(large), vec![0; SMALL as usize + 1]).unwrap();
        chown(kept.join(key), Some(DYNO_ID), Some(DYNO_ID)).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let times = fs::FileTimes::new().set_modified(old);
        fs::File::open(kept.join(key))
            .unwrap()
            .set_times(times)
            .unwrap();
        let most = Most {
            files: 100,
            bytes: 1 << 20,
        };
        assert_eq!(lend(&kept, &lent, most).unwrap(), Lent::Cloned);
        let copied = fs::metadata(lent.join(key)).unwrap();
        assert_eq!((copied.uid(), copied.modified().unwrap()), (DYNO_ID, old));
        fs::write(lent.join(key), "two").unwrap();
        assert_eq!(fs::read_to_string(kept.join(key)).unwrap(), "one");
        assert_eq!(fs::metadata(lent.join(large)).unwrap().nlink(), 2);
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
