//! Source archives that wait for a build: `sources/<account>/<source>` below the data directory, each put there once
//! and kept for a day.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ropewalk_model::{SourceId, UserId};
use ropewalk_slug::staging::{self, Staged};

use crate::context::{Builder, Context};
use crate::uploads::{Refused, Upload, receive};
use crate::{Error, Result};

/// How long an archive is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// When an account has too many, the oldest make room once they are this old: their builds have begun.
const MAKES_ROOM: Duration = Duration::from_secs(3600);
/// What an account may have waiting, in archives and in bytes.
const MOST: usize = 50;
const MOST_BYTES: u64 = 10 << 30;

impl Builder {
    /// Takes a source archive. Each place takes one.
    pub async fn put_source(
        &self,
        account: UserId,
        source: SourceId,
        upload: Upload,
    ) -> Result<(), Refused> {
        let context = &self.0;
        context.is_swept()?;
        let _slot = context.upload_slot()?;
        let path = path(context, account, source);
        let taken = || {
            Refused::Conflict(
                "An archive was sent to this address already; ask for another with POST /sources."
                    .to_owned(),
            )
        };
        if path.exists() {
            return Err(taken());
        }
        let folder = folder(context, account);
        fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        make_room(&folder, upload.length.unwrap_or(0))?;
        let staged = Staged::beside(&path);
        receive(context, upload, staged.path()).await?;
        // Of two that were sent at once one is taken: a link replaces nothing.
        match fs::hard_link(staged.path(), &path) {
            Ok(()) => {
                drop(staged);
                tokio::task::spawn_blocking(move || staging::sync_folder(&folder)).await??;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken()),
            Err(error) => Err(Error::io("name", &path)(error).into()),
        }
    }

    /// A source archive and its length in bytes; `None` when it was not sent, or is older than a day.
    pub fn source(&self, account: UserId, source: SourceId) -> Result<Option<(File, u64)>> {
        let Some(file) = open(&self.0, account, source)? else {
            return Ok(None);
        };
        let size = file
            .metadata()
            .map_err(Error::io("look at", path(&self.0, account, source)))?
            .len();
        Ok(Some((file, size)))
    }
}

pub(crate) fn open(context: &Context, account: UserId, source: SourceId) -> Result<Option<File>> {
    let path = path(context, account, source);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Removes what is older than a day and what a crash left half sent. Returns how many files went.
pub(crate) fn sweep(context: &Context) -> Result<usize> {
    let root = context.options.data.join("sources");
    let mut removed = 0;
    for entry in fs::read_dir(&root).map_err(Error::io("list", &root))? {
        let folder = entry.map_err(Error::io("list", &root))?.path();
        removed += staging::sweep(&folder)?;
        for kept in list(&folder)? {
            if kept.age > KEPT {
                removed += usize::from(remove(&kept.path)?);
            }
        }
    }
    Ok(removed)
}

fn folder(context: &Context, account: UserId) -> PathBuf {
    context
        .options
        .data
        .join("sources")
        .join(account.to_string())
}

fn path(context: &Context, account: UserId, source: SourceId) -> PathBuf {
    folder(context, account).join(source.to_string())
}

/// One archive of an account.
struct Kept {
    path: PathBuf,
    size: u64,
    age: Duration,
}

fn list(folder: &Path) -> Result<Vec<Kept>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        // What is being sent has another kind of name.
        let name = entry.file_name();
        if name
            .to_str()
            .is_none_or(|name| name.parse::<SourceId>().is_err())
        {
            continue;
        }
        let Ok(meta) = entry.metadata() else { continue };
        let made = meta.modified().unwrap_or(SystemTime::now());
        all.push(Kept {
            path: entry.path(),
            size: meta.len(),
            age: made.elapsed().unwrap_or_default(),
        });
    }
    Ok(all)
}

/// Makes room for one more archive of so many bytes.
fn make_room(folder: &Path, incoming: u64) -> Result<(), Refused> {
    let mut all = list(folder)?;
    all.sort_by_key(|kept| kept.age);
    let fits = |all: &[Kept]| {
        let bytes: u64 = all.iter().map(|kept| kept.size).sum();
        all.len() < MOST && bytes.saturating_add(incoming) <= MOST_BYTES
    };
    while !fits(&all) {
        match all.pop() {
            Some(oldest) if oldest.age > MAKES_ROOM => {
                remove(&oldest.path)?;
            }
            _ => {
                return Err(Refused::Conflict(format!(
                    "This account has sent {MOST} source archives or {} GiB of them within the last hour: \
                     wait before you send more.",
                    MOST_BYTES >> 30
                )));
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, number: u128, hours: u64) {
        let path = folder.join(SourceId(uuid::Uuid::from_u128(number)).to_string());
        let file = File::create(path).unwrap();
        let made = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_modified(made).unwrap();
    }

    #[test]
    fn the_oldest_make_room_and_young_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for number in 0..MOST as u128 {
            put(folder, number, 0);
        }
        assert!(matches!(make_room(folder, 0), Err(Refused::Conflict(_))));
        put(folder, 3, 3);
        put(folder, 5, 5);
        make_room(folder, 0).unwrap();
        assert_eq!(list(folder).unwrap().len(), MOST - 1);
        assert!(
            list(folder)
                .unwrap()
                .iter()
                .any(|kept| kept.age > MAKES_ROOM)
        );
        assert!(make_room(folder, MOST_BYTES + 1).is_err());
    }
}
