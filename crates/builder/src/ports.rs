//! What the builder needs from the rest of the platform, as traits that the program fills.

use std::fmt;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use ropewalk_model::{AppId, BuildId};
use thiserror::Error;

pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What becomes of releases.
pub trait Releases: Send + Sync + fmt::Debug {
    /// A release was written: whoever puts releases into effect looks at once.
    fn changed(&self);

    /// What happens to a release from its row on, past events first. Ends with [`ReleaseEvent::Done`].
    fn follow(&self, app: AppId, version: u32) -> BoxStream<ReleaseEvent>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseEvent {
    /// A step began. Optional: without it only the whole time is known.
    Phase(ReleasePhase),
    /// Output of the release command, as it comes.
    Output(Bytes),
    /// A line for whoever pushed, without its line end.
    Line(String),
    Done(ReleaseOutcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleasePhase {
    /// The release command runs.
    Command,
    /// New dynos start.
    Boot,
    /// Requests are being moved to the new dynos.
    Route,
}

impl ReleasePhase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Command => "release",
            Self::Boot => "boot",
            Self::Route => "route",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseOutcome {
    Succeeded,
    /// The release before it keeps serving.
    Failed {
        /// For the user: "web.1 crashed with exit status 1", "web.1 listens on port 3000, not on $PORT (5000)".
        reason: String,
        /// The last lines of the dyno or release command that failed.
        log_tail: Vec<String>,
    },
    /// A newer release took its place before it could take effect.
    Superseded {
        by: u32,
    },
}

/// The way to other servers: the one connector that decides which of them may be reached.
pub trait Egress: Send + Sync + fmt::Debug {
    /// Asks for what is at an address of the web. The answer's head comes within a minute.
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>>;
}

/// What an address answers with.
pub struct Fetched {
    /// Bytes, if that was said.
    pub length: Option<u64>,
    pub body: BoxStream<io::Result<Bytes>>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Clauses for whoever named the address. Nothing of what was answered is in them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EgressError {
    /// The address may not be asked.
    #[error("{0}")]
    Refused(String),
    /// It did not answer as it should.
    #[error("{0}")]
    Failed(String),
}

/// Reaches nobody.
#[derive(Debug, Clone, Copy)]
pub struct NoEgress;

impl Egress for NoEgress {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>> {
        let refused = EgressError::Refused("this host fetches nothing".to_owned());
        Box::pin(async move { Err(refused) })
    }
}

/// Where the output of builds is kept for those who ask for it later, and what came of them is told.
pub trait Outputs: Send + Sync + fmt::Debug {
    fn open(&self, app: AppId, build: BuildId) -> Box<dyn OutputSink>;

    /// A line about a build for the app's log. Must not block.
    fn say(&self, app: AppId, text: &str);
}

/// One build's output. Dropped when the build has ended.
pub trait OutputSink: Send {
    /// Must not block; may drop what it cannot take.
    fn write(&mut self, bytes: &[u8]);
}

/// Keeps no output.
#[derive(Debug, Clone, Copy)]
pub struct NoOutputs;

impl Outputs for NoOutputs {
    fn open(&self, _: AppId, _: BuildId) -> Box<dyn OutputSink> {
        Box::new(Self)
    }

    fn say(&self, _: AppId, _: &str) {}
}

impl OutputSink for NoOutputs {
    fn write(&mut self, _: &[u8]) {}
}
