//! What the API needs of whoever builds: archives in and out, builds begun and ended. The server implements it over
//! the builder.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use ropewalk_model::{AppId, BuildId, PipelineId, SlugId, SourceId, TestRunId, UserId};
use thiserror::Error;

/// Bytes on their way.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Whoever builds.
pub trait Builds: Send + Sync {
    /// Takes a source archive; each place takes one.
    fn put_source(
        &self,
        account: UserId,
        source: SourceId,
        archive: Archive,
    ) -> BoxFuture<'_, Result<(), ArchiveError>>;

    /// Gives a source archive back.
    fn source(
        &self,
        account: UserId,
        source: SourceId,
    ) -> BoxFuture<'_, Result<Archive, ArchiveError>>;

    /// Takes the archive of a slug that is expected. Returns once the slug can be released.
    fn put_slug(&self, slug: SlugId, archive: Archive) -> BoxFuture<'_, Result<(), ArchiveError>>;

    /// A slug as a `tar.gz` of `./app`; made when it is first asked for.
    fn slug(&self, slug: SlugId) -> BoxFuture<'_, Result<Archive, ArchiveError>>;

    /// Begins a build of a source archive. Returns once its row is written.
    fn build(&self, request: BuildRequest) -> BoxFuture<'_, Result<BuildId, ArchiveError>>;

    /// Ends a build; `false` when it is not under way, or has made its release. Never waits.
    fn cancel_build(&self, app: AppId, build: BuildId) -> bool;

    /// Begins a test run. Returns once its row is written.
    fn test(&self, request: TestRequest) -> BoxFuture<'_, Result<TestRunId, ArchiveError>>;

    /// Ends a test run whose row says already that it has ended. Never waits.
    fn cancel_test(&self, run: TestRunId);

    /// The pipeline's rows are gone; its cache is to follow. Never waits.
    fn pipeline_deleted(&self, pipeline: PipelineId);

    /// Throws an app's build cache away.
    fn purge_build_cache(&self, app: AppId) -> BoxFuture<'_, Result<(), ArchiveError>>;
}

/// An archive under way, in either direction.
pub struct Archive {
    /// Bytes, if that is known.
    pub length: Option<u64>,
    pub body: ByteStream,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// A source archive to be built.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildRequest {
    pub app: AppId,
    pub user: UserId,
    pub origin: Origin,
    /// As the client named it.
    pub url: String,
    /// `SHA256:` and 64 hexadecimal characters.
    pub checksum: Option<String>,
    /// What the sender calls it: a commit, a version.
    pub version: Option<String>,
    pub description: Option<String>,
    /// In place of the app's own; empty means those.
    pub buildpacks: Vec<String>,
}

impl std::fmt::Debug for BuildRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses carry logins and signatures.
        f.debug_struct("BuildRequest")
            .field("app", &self.app)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A source archive whose tests are to be run.
#[derive(Clone, PartialEq, Eq)]
pub struct TestRequest {
    pub pipeline: PipelineId,
    pub user: UserId,
    pub origin: Origin,
    /// As the client named it.
    pub url: String,
    /// Name of the stack to build and run on.
    pub stack: String,
    pub commit_branch: String,
    pub commit_message: String,
    pub commit_sha: String,
}

impl std::fmt::Debug for TestRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses carry logins and signatures.
        f.debug_struct("TestRequest")
            .field("pipeline", &self.pipeline)
            .field("commit_sha", &self.commit_sha)
            .finish_non_exhaustive()
    }
}

/// Where a source archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was sent to us.
    Source { account: UserId, source: SourceId },
    /// At the request's address.
    Elsewhere,
}

/// Why an archive is not taken or not there; the texts are for the client.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error("there is no such archive")]
    NotFound,
    #[error("{0}")]
    Invalid(String),
    /// Something stands in its way.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    TooLarge(String),
    /// Not now.
    #[error("{0}")]
    Later(String),
    /// It failed on our side; the text is for the platform's log.
    #[error("archive: {0}")]
    Failed(String),
}
