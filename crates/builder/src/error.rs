//! What can fail on the platform's side of a build. What is wrong with an app is `build::failure::Failure`.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum Error {
    /// A call of the system failed; `action` completes "cannot …".
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot run git; is it installed?")]
    GitStart(#[source] io::Error),
    #[error("git {verb} failed ({status}): {output}")]
    Git {
        verb: &'static str,
        status: String,
        output: String,
    },
    #[error("git {verb} did not end within {seconds} s")]
    GitDeadline { verb: &'static str, seconds: u64 },
    /// The file is left as it is; see `git::ssh::HostKey::open`.
    #[error("{} is not an SSH key without a passphrase; put the right file there, or remove it to get a new key", .0.display())]
    HostKey(PathBuf),
    /// Nothing can be built on a stack of which no version is here.
    #[error("no version of the stack {0} has been built on this host")]
    NoStack(String),
    #[error("the stack {stack} names no build image")]
    NoBuildImage { stack: String },
    #[error(transparent)]
    Store(#[from] ropewalk_store::StoreError),
    #[error(transparent)]
    Engine(#[from] ropewalk_engine::EngineError),
    #[error(transparent)]
    Slug(#[from] ropewalk_slug::Error),
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

/// An error with everything that caused it, for a log line or a report.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent variants repeat their source.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
