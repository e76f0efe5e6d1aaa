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

/// Replaces a file as a whole: a crash leaves the old text or the new one.
pub(crate) fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let staged = path.with_extension("tmp");
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
