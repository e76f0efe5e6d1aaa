//! What the builder needs from the rest of the platform, as traits that the program fills.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use ropewalk_model::{AppId, DynoId};
use thiserror::Error;
use uuid::Uuid;

pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What becomes of releases.
pub trait Releases: Send + Sync + fmt::Debug {
    /// A build of the app began, or may soon, and will end with a release if all goes well: what takes long can be begun.
    fn expect(&self, app: AppId);

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

/// Where one-off dynos run.
pub trait Dynos: Send + Sync + fmt::Debug {
    /// Runs a command in a dyno of the app's current release, with no input. Dropping the output ends the dyno.
    fn run(&self, run: DynoRun) -> BoxFuture<'_, Result<RunningDyno, DynoError>>;
}

/// A one-off dyno to be run.
#[derive(Clone, PartialEq, Eq)]
pub struct DynoRun {
    pub app: AppId,
    /// A shell line.
    pub command: String,
    /// On top of the release's config vars.
    pub env: BTreeMap<String, String>,
    /// It is stopped after so long.
    pub time_to_live: Duration,
}

impl fmt::Debug for DynoRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables may be secrets.
        f.debug_struct("DynoRun")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// A one-off dyno that runs.
pub struct RunningDyno {
    pub dyno: DynoId,
    /// Ends behind [`DynoOutput::Exit`].
    pub output: BoxStream<DynoOutput>,
}

impl fmt::Debug for RunningDyno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningDyno")
            .field("dyno", &self.dyno)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynoOutput {
    Stdout(Bytes),
    Stderr(Bytes),
    /// Exit code; negative when it could not be learnt.
    Exit(i64),
}

#[derive(Debug, Error)]
pub enum DynoError {
    /// The text is for the user.
    #[error("{0}")]
    Refused(String),
    /// It failed on our side; the text is for the platform's log.
    #[error("dyno: {0}")]
    Failed(String),
}

/// Runs nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoDynos;

impl Dynos for NoDynos {
    fn run(&self, _: DynoRun) -> BoxFuture<'_, Result<RunningDyno, DynoError>> {
        let refused = DynoError::Refused("This host runs no dynos.".to_owned());
        Box::pin(async move { Err(refused) })
    }
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

/// Where the output of builds and tests is kept for those who ask for it later, and what came of them is told.
pub trait Outputs: Send + Sync + fmt::Debug {
    /// Begins the output of a build, or of a part of a test run.
    fn open(&self, id: Uuid) -> Box<dyn OutputSink>;

    /// Nothing of an app's log is kept any more: it is gone.
    fn forget(&self, app: AppId);

    /// A line about a build for the app's log. Must not block.
    fn say(&self, app: AppId, text: &str);
}

/// One output. Dropped when what wrote it has ended.
pub trait OutputSink: Send {
    /// Must not block; may drop what it cannot take.
    fn write(&mut self, bytes: &[u8]);
}

/// Keeps no output.
#[derive(Debug, Clone, Copy)]
pub struct NoOutputs;

impl Outputs for NoOutputs {
    fn open(&self, _: Uuid) -> Box<dyn OutputSink> {
        Box::new(Self)
    }

    fn forget(&self, _: AppId) {}

    fn say(&self, _: AppId, _: &str) {}
}

impl OutputSink for NoOutputs {
    fn write(&mut self, _: &[u8]) {}
}
