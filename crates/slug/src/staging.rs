//! Files that appear whole or not at all: written under another name, made durable, then renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Error, Result};

/// Nothing is under way for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How the names of unfinished files begin; [`sweep`] removes them after a crash.
pub const PREFIX: &str = ".staging-";

/// An unfinished file beside its destination; removed when dropped without [`Staged::publish`].
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    destination: PathBuf,
    published: bool,
}

impl Staged {
    /// Chooses a name nobody else uses, in the destination's folder. Creates nothing.
    pub fn beside(destination: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        Self {
            path: destination.with_file_name(name),
            destination: destination.to_owned(),
            published: false,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the content on the disk, still without its name.
    pub fn write_through(&self) -> Result<()> {
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(Error::io("write to the disk", &self.path))
    }

    /// Makes content and name durable. Replaces a file of the destination's name.
    pub fn publish(self) -> Result<()> {
        let destination = self.destination.clone();
        self.publish_as(&destination)
    }

    /// As [`Staged::publish`], under a name in the same folder that was not known before.
    pub fn publish_as(mut self, destination: &Path) -> Result<()> {
        self.write_through()?;
        fs::rename(&self.path, destination).map_err(Error::io("rename", &self.path))?;
        self.published = true;
        match destination.parent() {
            Some(folder) => sync_folder(folder),
            None => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // Nothing to be done when this fails; the sweep at the next start finds it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes names in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("write to the disk", folder))
}

/// Removes what a crash left unfinished in a folder; a folder that is not there is empty. Files of processes that
/// live are kept, so that a command beside a running server takes nothing from it; a day-old file has no such
/// process, only one that got its number. Returns how many files went.
pub fn sweep(folder: &Path) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(Error::io("list", folder))?;
        if is_left(&entry) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", entry.path())(error));
                }
                _ => removed += 1,
            }
        }
    }
    Ok(removed)
}

fn is_left(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let Some(writer) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
        return false;
    };
    let process = writer.split('-').next().unwrap_or_default();
    let lives = Path::new("/proc").join(process).exists();
    let age = entry
        .metadata()
        .and_then(|facts| facts.modified())
        .map(|time| time.elapsed().unwrap_or_default());
    !lives || age.is_ok_and(|age| age > LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing_and_a_published_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("blob");
        let dropped = Staged::beside(&destination);
        fs::write(dropped.path(), "half").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let staged = Staged::beside(&destination);
        fs::write(staged.path(), "whole").unwrap();
        staged.publish().unwrap();
        assert_eq!(fs::read_to_string(&destination).unwrap(), "whole");

        // No process has this number: it is above the kernel's largest.
        let dead = folder.path().join(format!("{PREFIX}4194305-1"));
        fs::write(dead, "left").unwrap();
        let live = Staged::beside(&destination);
        fs::write(live.path(), "under way").unwrap();
        assert_eq!(sweep(folder.path()).unwrap(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
