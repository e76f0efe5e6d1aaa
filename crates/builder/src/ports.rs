//! What the builder needs from the rest of the platform, as traits that the program fills.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use ropewalk_model::{AppId, BuildId};

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

/// Where the output of builds is kept for those who ask for it later.
pub trait Outputs: Send + Sync + fmt::Debug {
    fn open(&self, app: AppId, build: BuildId) -> Box<dyn OutputSink>;
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
}

impl OutputSink for NoOutputs {
    fn write(&mut self, _: &[u8]) {}
}
