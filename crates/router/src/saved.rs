//! The server's last words on disk: what the router serves by when it starts before the server does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Certificates hold keys, and a table where dynos are: nobody else's affair.
const MODE: u32 = 0o600;

/// Last extension of a file that is being written; the one before it is its writer's pid.
const STAGED: &str = "tmp";

/// The message's JSON as the server sent it.
pub(crate) type Raw = Arc<Vec<u8>>;

/// What was kept, `None` when nothing was.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let raw = match fs::read(path) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&raw)?))
}

/// Writes each new message to `path`, skipping those already replaced; ends with its sender.
pub(crate) async fn keep(path: PathBuf, mut news: watch::Receiver<Option<Raw>>) {
    let target = path.clone();
    let _ = tokio::task::spawn_blocking(move || sweep(&target)).await;
    while news.changed().await.is_ok() {
        let Some(raw) = news.borrow_and_update().clone() else {
            continue;
        };
        let target = path.clone();
        let stored = tokio::task::spawn_blocking(move || replace(&target, &raw, MODE)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(path = %path.display(), %error, "Could not keep what the server sent on disk.");
        }
    }
}

/// Replaces a file as a whole: a crash leaves the old text or the new one. A router and the one that takes over from it
/// may do so at once.
pub(crate) fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let staged = path.with_extension(format!("{}.{STAGED}", std::process::id()));
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&staged)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    File::open(folder)?.sync_all()
}

/// Removes what routers that were killed were writing.
fn sweep(path: &Path) {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else {
        return;
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let file = PathBuf::from(entry.file_name());
        let writer = file.file_stem().map(Path::new);
        let left = file.extension().is_some_and(|end| end == STAGED)
            && writer.and_then(Path::file_stem) == Some(stem)
            && writer
                .and_then(Path::extension)
                .is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if left {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_router_was_writing_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        replace(&path, b"{}", MODE).unwrap();
        let alive = format!("table.{}.tmp", std::process::id());
        // No process has a pid of ten digits.
        for name in ["table.9999999999.tmp", "other.9999999999.tmp", &alive] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        sweep(&path);
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = ["other.9999999999.tmp", "table.json", &alive];
        expected.sort();
        assert_eq!(left, expected);
    }
}
