//! What can go wrong with stacks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    #[error("{} does not describe a stack", path.display())]
    Spec {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value in the description cannot be used; the text says which and why.
    #[error("{}: {problem}", path.display())]
    Value { path: PathBuf, problem: String },
    #[error("building a stack needs root: run it with sudo")]
    NeedsRoot,
    #[error("no stack can be built on a processor of the kind {0}")]
    Architecture(&'static str),
    #[error("cannot run {program}; is it installed?")]
    Spawn {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// A step's program failed; `output` is the end of what it said.
    #[error("{step} failed ({status}):\n{output}")]
    Step {
        step: &'static str,
        status: String,
        output: String,
    },
    #[error("{step} did not end within {} s", limit.as_secs())]
    Deadline { step: &'static str, limit: Duration },
    #[error("a layer could not be written")]
    Tree(#[from] ropewalk_slug::Error),
    #[error("a layer could not be stored")]
    Blob(#[from] ropewalk_registry::Error),
    #[error("the description of an image could not be written")]
    Json(#[from] serde_json::Error),
    /// A task on the blocking pool panicked or was cancelled by shutdown.
    #[error("a background task did not finish")]
    Task(#[from] tokio::task::JoinError),
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
