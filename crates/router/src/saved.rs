//! The last table on disk: what the router serves from when it starts before the server does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ropewalk_api_types::router::Table;
use tokio::sync::watch;

/// The table's JSON as the server sent it.
pub(crate) type Raw = Arc<Vec<u8>>;

/// The kept table, `None` when there is none.
pub(crate) fn load(path: &Path) -> io::Result<Option<Table>> {
    let raw = match fs::read(path) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&raw)?))
}

/// Writes each new table to `path`, skipping those already replaced; ends with its sender.
pub(crate) async fn keep(path: PathBuf, mut tables: watch::Receiver<Option<Raw>>) {
    while tables.changed().await.is_ok() {
        let Some(raw) = tables.borrow_and_update().clone() else {
            continue;
        };
        let target = path.clone();
        let stored = tokio::task::spawn_blocking(move || store(&target, &raw)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(path = %path.display(), %error, "Could not keep the table on disk.");
        }
    }
}

/// Replaces the file as a whole: a crash leaves the old table or the new one.
fn store(path: &Path, raw: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(raw)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}
