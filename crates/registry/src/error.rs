//! What can go wrong in the store of blobs.

use std::io;
use std::path::{Path, PathBuf};

use ropewalk_slug::Digest;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the system failed; `action` completes "cannot …".
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that were announced; nothing was stored.
    #[error("expected {expected}, but the content is {found}")]
    Mismatch { expected: Digest, found: Digest },
    #[error("there is no blob {digest}")]
    Missing { digest: Digest },
    #[error("a file could not be made durable")]
    Staging(#[from] ropewalk_slug::Error),
    /// An image description could not be written as JSON.
    #[error("cannot write an image description")]
    Json(#[from] serde_json::Error),
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
