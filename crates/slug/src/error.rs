//! What can go wrong with trees, images, archives and mounts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub type Result<T> = std::result::Result<T, Error>;

/// Every failure names the file, program or limit it is about.
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
    /// The tree holds something that cannot be part of a slug.
    #[error("{} is a {kind}: a slug holds only files, directories and symbolic links", path.display())]
    Forbidden { path: PathBuf, kind: &'static str },
    #[error("the app has more than {limit} files and directories")]
    TooManyEntries { limit: u64 },
    #[error("the app's files take more than {limit} bytes")]
    TooManyBytes { limit: u64 },
    #[error("{} is nested more than {limit} directories deep", path.display())]
    TooDeep { path: PathBuf, limit: usize },
    #[error("the path {}… is longer than {limit} bytes", shorten(path))]
    PathTooLong { path: PathBuf, limit: usize },
    /// A file changed its length between being listed and being read.
    #[error("{} changed while it was read", path.display())]
    Changed { path: PathBuf },
    /// What was sent is no archive that could be unpacked.
    #[error("that cannot be unpacked: {0}")]
    NoArchive(&'static str),
    #[error("the archive is damaged or was cut off")]
    Damaged(#[source] io::Error),
    /// An entry that no honest archive has.
    #[error("{} {why}", path.display())]
    Unsafe { path: PathBuf, why: &'static str },
    #[error("the archive unpacks to more than {ratio} times its size")]
    Bomb { ratio: u64 },
    /// Whoever wanted it unpacked does not any more.
    #[error("unpacking was stopped")]
    Stopped,
    /// A program could not be started.
    #[error("cannot run {program}; is it installed?")]
    Spawn {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// A program ended with a failure; `output` is what it said.
    #[error("{program} failed ({status}): {output}")]
    Program {
        program: &'static str,
        status: String,
        output: String,
    },
    #[error("{program} did not end within {} s", limit.as_secs())]
    Deadline {
        program: &'static str,
        limit: Duration,
    },
    /// A folder whose name cannot stand in mount options.
    #[error("{} cannot hold mounts: its path has one of the characters , : \\ or a control character", path.display())]
    MountRoot { path: PathBuf },
    /// The overlay is there, but over another slug than the one asked for.
    #[error("{} is already mounted over another slug", path.display())]
    OtherSlug { path: PathBuf },
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

    /// As [`Error::io`], for calls that answer with a bare error number.
    pub(crate) fn sys(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let wrap = Self::io(action, path);
        move |errno| wrap(errno.into())
    }

    /// Whether the cause lies in the app's files (to be told to whoever pushed) and not in this host.
    pub fn is_about_the_app(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. }
                | Self::TooManyEntries { .. }
                | Self::TooManyBytes { .. }
                | Self::TooDeep { .. }
                | Self::PathTooLong { .. }
                | Self::NoArchive(_)
                | Self::Damaged(_)
                | Self::Unsafe { .. }
                | Self::Bomb { .. }
        )
    }
}

fn shorten(path: &Path) -> String {
    path.to_string_lossy().chars().take(120).collect()
}
