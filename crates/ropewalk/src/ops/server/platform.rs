//! The ports of API and builder, filled by the parts that do the work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use ropewalk_acme::Acme;
use ropewalk_api::{
    AttachError, Attachment, DynoCounts, EngineStatus, InsideRequest, Platform, ProcessStatus,
    RunError, RunRequest, RunStarted, SchedulerStatus, StackStatus, Status,
};
use ropewalk_api_types::sni_endpoint::Revocation;
use ropewalk_builder::{Builder, OutputSink};
use ropewalk_engine::Engine;
use ropewalk_log_drains::LogDrains;
use ropewalk_logs::{Logs, OutputWriter, Outputs};
use ropewalk_model::log_line::LogSource;
use ropewalk_model::traffic::{Recent, Totals};
use ropewalk_model::{AppId, DynoId, DynoState, JobId, SleepTier, Traffic};
use ropewalk_ocsp::Staples;
use ropewalk_scheduler::{NewInside, NewRun, Routes, Scheduler, SchedulerError};
use ropewalk_store::{JobRun, Store, StoreError, View};
use ropewalk_telemetry::{TaskStatus, Tasks, rss_bytes};
use uuid::Uuid;

use super::certificates::Keeper;
use super::travel::Travels;

pub(super) struct Ports {
    pub(super) travels: Arc<Travels>,
    pub(super) scheduler: Scheduler,
    pub(super) builder: Builder,
    pub(super) routes: Routes,
    pub(super) store: Store,
    pub(super) logs: Logs,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) log_drains: LogDrains,
    pub(super) tasks: Tasks,
    pub(super) certificates: Arc<Keeper>,
    pub(super) staples: Staples,
    /// Where certificates are got by the platform.
    pub(super) acme: Option<Acme>,
}

impl Platform for Ports {
    fn changed(&self) {
        self.scheduler.changed();
        // Perhaps an app has another name.
        self.acm_changed();
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        self.scheduler.settled().boxed()
    }

    fn certificates_settled(&self) -> BoxFuture<'_, ()> {
        // At once, and not only if the answer is waited for.
        self.certificates.changed();
        self.certificates.settled().boxed()
    }

    fn revocation(&self, chain: &str) -> Option<Revocation> {
        super::certificates::revocation(self.staples.status(chain, Timestamp::now())?)
    }

    fn acm_changed(&self) {
        if let Some(acme) = &self.acme {
            acme.changed();
        }
    }

    fn log_drains_changed(&self) {
        self.log_drains.changed();
    }

    fn jobs_changed(&self) {
        self.scheduler.jobs_changed();
    }

    fn run_job(&self, job: JobId) -> BoxFuture<'_, Result<JobRun, RunError>> {
        async move {
            match self.scheduler.run_job(job).await {
                Ok(run) => Ok(run),
                Err(SchedulerError::Refused(text)) => Err(RunError::Refused(text)),
                Err(error) => Err(RunError::Failed(error.to_string())),
            }
        }
        .boxed()
    }

    fn sleep(&self, app: AppId, tier: SleepTier) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move { self.scheduler.put_to_sleep(app, tier).await }.boxed()
    }

    fn wake(&self, app: AppId) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move { self.scheduler.wake(app).await }.boxed()
    }

    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<RunStarted, RunError>> {
        async move {
            let run = NewRun {
                app: request.app,
                command: request.command,
                process_type: request.process_type,
                size: request.size,
                env: request.env,
                attach: request.attach,
                tty: request.tty,
                time_to_live: request.time_to_live,
            };
            match self.scheduler.start_run(run).await {
                Ok(started) => Ok(RunStarted {
                    dyno: started.dyno,
                    attach_secret: started.secret,
                }),
                Err(SchedulerError::Refused(text)) => Err(RunError::Refused(text)),
                Err(error) => Err(RunError::Failed(error.to_string())),
            }
        }
        .boxed()
    }

    fn run_inside(&self, request: InsideRequest) -> BoxFuture<'_, Result<String, RunError>> {
        async move {
            let run = NewInside {
                dyno: request.dyno,
                command: request.command,
                env: request.env,
                tty: request.tty,
            };
            match self.scheduler.run_inside(run).await {
                Ok(secret) => Ok(secret),
                Err(SchedulerError::Refused(text)) => Err(RunError::Refused(text)),
                Err(error) => Err(RunError::Failed(error.to_string())),
            }
        }
        .boxed()
    }

    fn attach(&self, secret: &str) -> BoxFuture<'_, Result<Attachment, AttachError>> {
        let secret = secret.to_owned();
        async move {
            match self.scheduler.attach(&secret).await {
                Ok(Some(attached)) => Ok(Attachment {
                    input: attached.input,
                    output: attached.output,
                }),
                Ok(None) => Err(AttachError::Unknown),
                Err(error) => Err(AttachError::Failed(error.to_string())),
            }
        }
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, Status> {
        self.look().boxed()
    }

    fn tasks(&self) -> Vec<TaskStatus> {
        self.tasks.status()
    }

    fn traffic(&self, app: AppId) -> Traffic {
        self.routes.measured(app)
    }

    fn unbound_ports(&self) -> Option<BTreeMap<u16, String>> {
        self.routes.unbound()
    }

    fn totals(&self) -> BTreeMap<AppId, Totals> {
        self.routes.totals()
    }

    fn recent(&self, only: Option<AppId>) -> Recent {
        self.routes.recent(only)
    }

    fn memory(&self, dynos: Vec<DynoId>) -> BoxFuture<'_, BTreeMap<DynoId, u64>> {
        async move { self.scheduler.memory_of(&dynos).await }.boxed()
    }

    fn app_deleted(&self, app: AppId) {
        self.changed();
        self.logs.forget(app);
        self.log_drains.changed();
        let builder = self.builder.clone();
        self.tasks.spawn("app removal", async move {
            if let Err(error) = builder.remove_app(app).await {
                tracing::warn!(%app, %error, "The files of a deleted app could not be removed.");
            }
        });
    }

    fn repo_size(&self, app: AppId) -> u64 {
        self.builder.repo_size(app)
    }
}

impl Ports {
    async fn look(&self) -> Status {
        let own = std::process::id();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let router = self
            .routes
            .routers()
            .into_iter()
            .next_back()
            .map(|router| ProcessStatus {
                pid: router.pid,
                rss_bytes: rss_bytes(router.pid),
                version: router.version,
            });
        let engine = self.engine.info().await.ok();
        let (stacks, dynos) = self
            .store
            .read(|view| {
                let stacks = stack_status(view)?;
                let mut counts = DynoCounts::default();
                for dyno in view.all_dynos()? {
                    match dyno.state {
                        DynoState::Starting => counts.starting += 1,
                        DynoState::Up => counts.up += 1,
                        DynoState::Idle => counts.idle += 1,
                        DynoState::Crashed => counts.crashed += 1,
                        DynoState::Down => counts.down += 1,
                    }
                }
                for app in view.apps()? {
                    counts.desired += view
                        .formation(app.id)?
                        .iter()
                        .map(|row| row.quantity)
                        .sum::<u32>();
                }
                Ok((stacks, counts))
            })
            .await
            .unwrap_or_default();
        Status {
            server: ProcessStatus {
                pid: own,
                rss_bytes: rss_bytes(own),
                version,
            },
            router,
            engine: EngineStatus {
                reachable: engine.is_some(),
                version: engine.as_ref().map(|info| info.version.clone()),
                api_version: engine.map(|info| info.api_version),
            },
            scheduler: scheduler_status(&self.scheduler),
            stacks,
            dynos,
            tasks: self.tasks.status(),
        }
    }
}

fn stack_status(view: &View<'_>) -> Result<Vec<StackStatus>, StoreError> {
    let mut stacks: Vec<StackStatus> = Vec::new();
    for stack in view.stacks()? {
        // Newest first within a name.
        if stacks.iter().all(|known| known.name != stack.name) {
            stacks.push(StackStatus {
                name: stack.name,
                version: stack.version,
                apps: 0,
                apps_behind: 0,
            });
        }
    }
    for used in view.stacks_in_use()? {
        let Some(stack) = stacks.iter_mut().find(|stack| stack.name == used.name) else {
            continue;
        };
        stack.apps += used.apps;
        if used.version != stack.version {
            stack.apps_behind += used.apps;
        }
    }
    Ok(stacks)
}

fn scheduler_status(scheduler: &Scheduler) -> SchedulerStatus {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let status = scheduler.status();
    SchedulerStatus {
        passes: status.passes,
        last_success_ms: status.last_success.map(|at| millis(at.elapsed())),
        last_took_ms: millis(status.last_took),
        last_error: status.last_error,
    }
}

/// Keeps builds' output where the API reads it, and tells of them in the apps' logs.
#[derive(Debug, Clone)]
pub(super) struct BuildOutputs {
    pub(super) outputs: Outputs,
    pub(super) logs: Logs,
}

impl ropewalk_builder::Outputs for BuildOutputs {
    fn open(&self, id: Uuid) -> Box<dyn OutputSink> {
        match self.outputs.create(id) {
            Ok(writer) => Box::new(Sink(writer)),
            Err(error) => {
                tracing::warn!(%id, %error, "The output of a build or test run cannot be kept.");
                Box::new(ropewalk_builder::NoOutputs)
            }
        }
    }

    fn forget(&self, app: AppId) {
        self.logs.forget(app);
    }

    fn say(&self, app: AppId, text: &str) {
        let now = Timestamp::now();
        self.logs
            .append(app, now, LogSource::App, "api", text.as_bytes());
    }
}

struct Sink(OutputWriter);

impl OutputSink for Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}
