//! What the API needs from the rest of the platform. The server implements it over the scheduler.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_api_types::sni_endpoint::Revocation;
use ropewalk_model::traffic::{Recent, Totals};
use ropewalk_model::{AppId, DynoId, DynoSize, JobId, ProcessType, SleepTier, Traffic};
use ropewalk_store::{Dyno, JobRun, StoreError};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::builds::Builds;

/// The rest of the platform.
pub trait Platform: Builds + Send + Sync {
    /// The desired state changed: look again. Never waits.
    fn changed(&self);

    /// The same, and waits until the routers serve by it: at most 2 s, and not at all for what is not there.
    fn settled(&self) -> BoxFuture<'_, ()>;

    /// Certificates, or what they serve, changed: the routers are told, whether the future is awaited or not. It waits
    /// until new connections get them: at most 2 s, and not at all without a router.
    fn certificates_settled(&self) -> BoxFuture<'_, ()>;

    /// What its authority says about a chain (PEM) that is served; `None` where it names nobody to ask, and of others.
    /// Never waits.
    fn revocation(&self, chain: &str) -> Option<Revocation>;

    /// Domains that want certificates, or what they have, changed: look again. Never waits.
    fn acm_changed(&self);

    /// An app's log drains changed: look again. Never waits.
    fn log_drains_changed(&self);

    /// Jobs changed: look again. Never waits.
    fn jobs_changed(&self);

    /// Runs a job now. Returns once its dyno's row is written, or it is to wait for its turn.
    fn run_job(&self, job: JobId) -> BoxFuture<'_, Result<JobRun, RunError>>;

    /// Puts an app to sleep, and waits until routers know it: at most 2 s. Whether that changed anything.
    fn sleep(&self, app: AppId, tier: SleepTier) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Wakes an app, likewise. Whether it slept.
    fn wake(&self, app: AppId) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Starts a one-off dyno. Returns once its row is written, not once it runs.
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<RunStarted, RunError>>;

    /// Makes ready to run a command inside a dyno that is up. Gives what [`Platform::attach`] takes; attaching starts
    /// it.
    fn run_inside(&self, request: InsideRequest) -> BoxFuture<'_, Result<String, RunError>>;

    /// Trades a secret of [`RunStarted`] or of [`Platform::run_inside`] for the command's streams, once.
    fn attach(&self, secret: &str) -> BoxFuture<'_, Result<Attachment, AttachError>>;

    /// How the platform is.
    fn status(&self) -> BoxFuture<'_, Status>;

    /// What the server does all the time, and how it goes. Never waits.
    fn tasks(&self) -> Vec<ropewalk_telemetry::TaskStatus>;

    /// What was measured of an app's requests. Never waits.
    fn traffic(&self, app: AppId) -> Traffic;

    /// What was measured of every app's requests since the server began. Never waits.
    fn totals(&self) -> BTreeMap<AppId, Totals>;

    /// Ports of TCP routes that a router could not listen on, and why; `None` without a router. Never waits.
    fn unbound_ports(&self) -> Option<BTreeMap<u16, String>>;

    /// What was measured in the last seconds: of one app, or of every one that had a request or has one. Never waits.
    fn recent(&self, only: Option<AppId>) -> Recent;

    /// Bytes of memory that dynos use, as far as that can be told within a few seconds.
    fn memory(&self, dynos: Vec<DynoId>) -> BoxFuture<'_, BTreeMap<DynoId, u64>>;

    /// The app's rows are gone; its repository, cache and containers are to follow.
    fn app_deleted(&self, app: AppId);

    /// Bytes of the app's git repository, as last measured. Never waits.
    fn repo_size(&self, app: AppId) -> u64;
}

/// A one-off dyno to be started.
#[derive(Clone, PartialEq, Eq)]
pub struct RunRequest {
    pub app: AppId,
    /// Shell line as it was typed: a first word that names a process type is still to be put in.
    pub command: String,
    /// That of the process type where none is said.
    pub size: Option<DynoSize>,
    /// `run` unless the user said otherwise; the first half of the dyno's name.
    pub process_type: ProcessType,
    /// For this dyno only, on top of the config vars.
    pub env: BTreeMap<String, String>,
    /// Its streams go to a client and not to the log.
    pub attach: bool,
    /// A terminal rather than pipes; only with `attach`.
    pub tty: bool,
    /// Stopped after so many seconds.
    pub time_to_live: Option<u32>,
}

impl std::fmt::Debug for RunRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of variables and the command may be secrets.
        f.debug_struct("RunRequest")
            .field("app", &self.app)
            .field("process_type", &self.process_type)
            .field("attach", &self.attach)
            .finish_non_exhaustive()
    }
}

/// A command to be run inside a running dyno.
#[derive(Clone, PartialEq, Eq)]
pub struct InsideRequest {
    pub dyno: DynoId,
    /// Shell line as it was typed: a first word that names a process type is still to be put in.
    pub command: String,
    /// For this command only, on top of what the dyno has.
    pub env: BTreeMap<String, String>,
    /// A terminal rather than pipes.
    pub tty: bool,
}

impl std::fmt::Debug for InsideRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of variables and the command may be secrets.
        f.debug_struct("InsideRequest")
            .field("dyno", &self.dyno)
            .field("tty", &self.tty)
            .finish_non_exhaustive()
    }
}

/// A one-off dyno that was accepted.
pub struct RunStarted {
    pub dyno: Dyno,
    /// What [`Platform::attach`] takes, at least 128 bits of randomness and safe in a URL; with `attach` only.
    pub attach_secret: Option<String>,
}

impl std::fmt::Debug for RunStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunStarted")
            .field("dyno", &self.dyno.name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Error)]
pub enum RunError {
    /// The app cannot run anything now; the text is for the user.
    #[error("{0}")]
    Refused(String),
    /// It failed on our side; the text is for the platform's log.
    #[error("one-off dyno: {0}")]
    Failed(String),
}

/// The streams of an attached dyno. Dropping it hangs up: the dyno gets SIGHUP.
#[derive(Debug)]
pub struct Attachment {
    pub input: mpsc::Sender<ToDyno>,
    /// Ends behind [`FromDyno::Exit`].
    pub output: mpsc::Receiver<FromDyno>,
}

#[derive(Debug, Error)]
pub enum AttachError {
    /// Unknown, used already, or too old.
    #[error("no dyno waits for this secret")]
    Unknown,
    #[error("attaching: {0}")]
    Failed(String),
}

/// `GET /ropewalk/status`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    pub server: ProcessStatus,
    /// `None` while no router is connected.
    pub router: Option<ProcessStatus>,
    pub engine: EngineStatus,
    pub scheduler: SchedulerStatus,
    pub stacks: Vec<StackStatus>,
    pub dynos: DynoCounts,
    pub tasks: Vec<ropewalk_telemetry::TaskStatus>,
}

/// One of the platform's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessStatus {
    pub pid: u32,
    /// Resident memory, in bytes; `None` when it cannot be read.
    pub rss_bytes: Option<u64>,
    pub version: String,
}

/// The container engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineStatus {
    pub reachable: bool,
    /// Its own version, such as `20.10.24`.
    pub version: Option<String>,
    pub api_version: Option<String>,
}

/// The loop that keeps the dynos as they are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SchedulerStatus {
    /// Passes since the server began.
    pub passes: u64,
    /// How long ago engine and ledger could last be looked at, in milliseconds; `None` before the first time.
    pub last_success_ms: Option<u64>,
    /// How long the last pass took, in milliseconds.
    pub last_took_ms: u64,
    pub last_error: Option<String>,
}

/// The newest version of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackStatus {
    pub name: String,
    /// `sha256:…`
    pub version: String,
    /// Apps that run on this stack, whatever its version.
    pub apps: u32,
    /// Those of them that run on an older version.
    pub apps_behind: u32,
}

/// Dynos by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DynoCounts {
    pub starting: u32,
    pub up: u32,
    pub idle: u32,
    pub crashed: u32,
    pub down: u32,
    /// What the formations ask for.
    pub desired: u32,
}
