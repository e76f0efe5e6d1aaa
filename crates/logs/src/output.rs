//! The output of builds and release commands: written once, read live from the first byte to the end.
//!
//! One file each. An output whose writer died with the server is a finished one.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use uuid::Uuid;

/// Bytes kept of one output.
pub const MAX_OUTPUT: u64 = 10 << 20;
/// Outputs kept; the oldest go first.
const KEPT: usize = 200;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
const CUT: &[u8] = b"\n !     Output is longer than 10 MiB; the rest is not kept.\n";

#[derive(Debug, Error)]
pub enum OutputError {
    #[error("output folder {path}: {source}")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("output {id}: {source}")]
    File {
        id: Uuid,
        #[source]
        source: io::Error,
    },
    /// Nothing was ever written under this id, or it is too long ago.
    #[error("no output {0}")]
    NotFound(Uuid),
}

/// All outputs. Clones share them.
#[derive(Clone)]
pub struct Outputs(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    /// Those that are being written. The value becomes true at the end, and is touched at each write.
    live: Mutex<HashMap<Uuid, watch::Receiver<bool>>>,
    /// Touched whenever one begins.
    begun: watch::Sender<()>,
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs")
            .field("dir", &self.0.dir)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Receiver<bool>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.dir.join(id.to_string())
    }

    /// Removes the oldest outputs beyond those kept.
    fn prune(&self) -> io::Result<()> {
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
        found.sort();
        let live = self.live();
        let excess = found.len().saturating_sub(KEPT);
        for (_, path) in found.into_iter().take(excess) {
            if !live.keys().any(|id| self.path(*id) == path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Outputs {
    /// Keeps outputs in `<dir>/outputs`.
    pub fn open(dir: &Path) -> Result<Self, OutputError> {
        let dir = dir.join("outputs");
        fs::create_dir_all(&dir).map_err(|source| OutputError::Folder {
            path: dir.clone(),
            source,
        })?;
        Ok(Self(Arc::new(Inner {
            dir,
            live: Mutex::default(),
            begun: watch::Sender::new(()),
        })))
    }

    /// Begins an output under the id of its build or release; one that is there already is begun anew.
    pub fn create(&self, id: Uuid) -> Result<OutputWriter, OutputError> {
        let fail = |source| OutputError::File { id, source };
        let path = self.0.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        self.0.prune().map_err(fail)?;
        let file = File::create_new(&path).map_err(fail)?;
        let (ended, live) = watch::channel(false);
        self.0.live().insert(id, live);
        self.0.begun.send_replace(());
        Ok(OutputWriter {
            id,
            file: Some(file),
            written: 0,
            ended,
            outputs: self.clone(),
        })
    }

    /// Waits until an output of this id is there.
    pub async fn begun(&self, id: Uuid) {
        let mut begun = self.0.begun.subscribe();
        let path = self.0.path(id);
        while !path.exists() {
            // The sender lives as long as this.
            let _ = begun.changed().await;
        }
    }

    /// The whole output: what is there, then what comes, to the end.
    pub async fn read(
        &self,
        id: Uuid,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, OutputError> {
        let live = self.0.live().get(&id).cloned();
        let file = match tokio::fs::File::open(self.0.path(id)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OutputError::NotFound(id));
            }
            Err(source) => return Err(OutputError::File { id, source }),
        };
        let reader = Some((file, live));
        Ok(futures_util::stream::unfold(reader, |reader| async move {
            let (mut file, mut live) = reader?;
            match chunk(&mut file, &mut live).await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((file, live)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

/// The next bytes; `None` at the end.
async fn chunk(
    file: &mut tokio::fs::File,
    live: &mut Option<watch::Receiver<bool>>,
) -> io::Result<Option<Bytes>> {
    let mut buffer = vec![0; CHUNK];
    loop {
        // Asked before reading: what was written before the end is then read before the end is believed.
        let ended = live.as_mut().is_none_or(|live| *live.borrow_and_update());
        let read = file.read(&mut buffer).await?;
        if read > 0 {
            buffer.truncate(read);
            return Ok(Some(buffer.into()));
        }
        match live {
            Some(live) if !ended => {
                // A writer that is gone has said that it ended.
                let _ = live.changed().await;
                if live.has_changed().is_err() && !*live.borrow() {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
    }
}

/// Writes one output; dropping it ends the output.
pub struct OutputWriter {
    id: Uuid,
    /// `None` once the disk has failed or the output is full.
    file: Option<File>,
    written: u64,
    ended: watch::Sender<bool>,
    outputs: Outputs,
}

impl fmt::Debug for OutputWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputWriter")
            .field("id", &self.id)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl OutputWriter {
    /// Adds bytes; readers see them at once. Never fails: what cannot be kept is said once in the platform's log.
    pub fn write(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else {
            return;
        };
        let room = usize::try_from(MAX_OUTPUT - self.written).unwrap_or(usize::MAX);
        let fits = &bytes[..bytes.len().min(room)];
        let full = fits.len() < bytes.len();
        let outcome = file
            .write_all(fits)
            .and_then(|()| if full { file.write_all(CUT) } else { Ok(()) });
        self.written += fits.len() as u64;
        if let Err(error) = &outcome {
            tracing::warn!(output = %self.id, %error, "Output was not kept.");
        }
        if full || outcome.is_err() {
            self.file = None;
        }
        self.ended.send_replace(false);
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        self.ended.send_replace(true);
        let mut live = self.outputs.0.live();
        // A newer output of the same id is not ours to end.
        if live
            .get(&self.id)
            .is_some_and(|known| known.same_channel(&self.ended.subscribe()))
        {
            live.remove(&self.id);
        }
    }
}
