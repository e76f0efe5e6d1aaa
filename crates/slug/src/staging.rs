//! Files that appear whole or not at all: written under another name, made durable, then renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

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

    /// Makes content and name durable. Replaces a file of the destination's name.
    pub fn publish(self) -> Result<()> {
        let destination = self.destination.clone();
        self.publish_as(&destination)
    }

    /// As [`Staged::publish`], under a name in the same folder that was not known before.
    pub fn publish_as(mut self, destination: &Path) -> Result<()> {
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(Error::io("write to the disk", &self.path))?;
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

/// Removes what a crash left unfinished in a folder; a folder that is not there is empty. Only to be called
/// while nobody writes into it, that is at start. Returns how many files went.
pub fn sweep(folder: &Path) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(Error::io("list", folder))?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
            removed += 1;
        }
    }
    Ok(removed)
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

        fs::write(folder.path().join(format!("{PREFIX}1-1")), "old").unwrap();
        assert_eq!(sweep(folder.path()).unwrap(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
