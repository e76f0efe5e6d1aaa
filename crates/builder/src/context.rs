//! What all parts of a build share, and the handle that the server holds.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use ropewalk_engine::Engine;
use ropewalk_model::{AppId, BuildId, PipelineId};
use ropewalk_store::Store;
use ropewalk_telemetry::Round;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, RwLock, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::ahead::Ahead;
use crate::build::cache;
use crate::build::inherit::Inherited;
use crate::build::queue::Queue;
use crate::build::ready::Ready;
use crate::error::chain;
use crate::git::command::Git;
use crate::git::push::Pushes;
use crate::git::repo::Repos;
use crate::{
    Dynos, Egress, HostKey, Options, Outputs, Refused, Releases, Result, Swept, git, slugs,
    sources, sweep,
};

/// Longest wait for pushes and builds to end when the server stops.
const STOP: Duration = Duration::from_secs(15);
/// How often files of apps that are no more are looked for; two lists of names and one look into the ledger.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// Slugs that were sent in and are being packed; each takes a core.
const UNPACKED_AT_ONCE: usize = 2;

/// The builder of one server; clones share it.
#[derive(Debug, Clone)]
pub struct Builder(pub(crate) Arc<Context>);

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) releases: Arc<dyn Releases>,
    pub(crate) outputs: Arc<dyn Outputs>,
    pub(crate) egress: Arc<dyn Egress>,
    pub(crate) dynos: Arc<dyn Dynos>,
    pub(crate) inherited: Inherited,
    pub(crate) git: Git,
    pub(crate) repos: Repos,
    pub(crate) pushes: Pushes,
    pub(crate) queue: Queue,
    /// Containers that wait for a build.
    pub(crate) ready: Ready,
    pub(crate) ahead: Ahead,
    pub(crate) push_slots: Arc<Semaphore>,
    pub(crate) fetch_slots: Arc<Semaphore>,
    /// Slugs that are unpacked and packed at once, besides builds.
    pub(crate) unpack_slots: Semaphore,
    /// Held (shared) from an image's making to the row that names it, and (alone) while one that no row names goes.
    pub(crate) packing: RwLock<()>,
    /// Pipelines whose cache a test run has.
    pub(crate) lent_caches: Mutex<HashSet<PipelineId>>,
    /// What an earlier run left is gone: archives and builds may come.
    pub(crate) swept: AtomicBool,
    /// The engine's data directory where it is on another disk than ours; asked for once.
    pub(crate) engine_folder: OnceCell<Option<PathBuf>>,
    /// Everything that runs on its own: builds, processes being ended, folders being removed.
    pub(crate) tasks: TaskTracker,
    /// Ends every push and build.
    pub(crate) shutdown: CancellationToken,
}

impl Builder {
    /// Makes the folders and the git hook below the data directory. Call [`Builder::sweep`] next.
    pub fn new(
        options: Options,
        store: Store,
        engine: Arc<dyn Engine>,
        releases: Arc<dyn Releases>,
        outputs: Arc<dyn Outputs>,
        egress: Arc<dyn Egress>,
        dynos: Arc<dyn Dynos>,
    ) -> Result<Self> {
        sweep::make_folders(&options.data)?;
        let git = Git::new(&options);
        git::hook_script::install(&git.hooks, &options.hook_command)?;
        let inherited = match options.inherit {
            true => Inherited::from_host(&options.environment),
            false => Inherited::default(),
        };
        let limits = &options.limits;
        Ok(Self(Arc::new(Context {
            inherited,
            git,
            repos: Repos::new(options.data.join("repos")),
            pushes: Pushes::default(),
            queue: Queue::new(limits.builds, limits.waiting),
            ready: Ready::default(),
            ahead: Ahead::default(),
            push_slots: Arc::new(Semaphore::new(limits.pushes)),
            fetch_slots: Arc::new(Semaphore::new(limits.fetches)),
            unpack_slots: Semaphore::new(UNPACKED_AT_ONCE),
            packing: RwLock::new(()),
            lent_caches: Mutex::default(),
            swept: AtomicBool::new(false),
            engine_folder: OnceCell::new(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            options,
            store,
            engine,
            releases,
            outputs,
            egress,
            dynos,
        })))
    }

    /// The routes of the host `git.<domain>`.
    pub fn routes(&self) -> Router {
        git::http::routes(self.clone())
    }

    /// Answers git's hooks until [`Builder::stop`]. The socket's folder must be closed to all but the server's user.
    pub async fn serve_hooks(&self, listener: UnixListener) {
        git::hook::serve(self.clone(), listener).await;
    }

    /// Speaks git over SSH on this listener until [`Builder::stop`], and shows clients this key. Only after
    /// [`Builder::sweep`].
    pub async fn serve_ssh(&self, listener: TcpListener, key: &HostKey) {
        git::ssh::listen(Arc::clone(&self.0), listener, key).await;
    }

    /// Removes what an earlier run of the server left: containers, work folders, half pushes, locks, and marks its
    /// builds as failed. Only at start, before routes and hooks are served.
    pub async fn sweep(&self) -> Result<Swept> {
        let swept = sweep::sweep(&self.0).await?;
        self.0.swept.store(true, Ordering::Release);
        Ok(swept)
    }

    /// Ends every push and build under way, and waits until nothing of them is left, for 15 seconds at most: what is
    /// left then, the next start sweeps away.
    pub async fn stop(&self) {
        self.0.shutdown.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(STOP, self.0.tasks.wait())
            .await
            .is_err()
        {
            let left = self.0.tasks.len();
            tracing::warn!(left, "Parts of pushes and builds did not end in time.");
        }
    }

    /// Bytes of an app's repository, as last measured; 0 until then. Never waits.
    pub fn repo_size(&self, app: AppId) -> u64 {
        self.0.repos.size(app).unwrap_or_else(|| {
            let context = Arc::clone(&self.0);
            self.0
                .tasks
                .spawn(async move { context.repos.measure(app).await });
            0
        })
    }

    /// Throws an app's build cache away. A build under way has a copy, which is kept when it succeeds.
    pub async fn purge_cache(&self, app: AppId) -> Result<()> {
        cache::purge(&self.0, app).await
    }

    /// Ends the build of an app that is no more, if one is under way, and removes its files: repository and cache.
    pub async fn remove_app(&self, app: AppId) -> Result<()> {
        self.0.queue.app_is_gone(app);
        cache::purge(&self.0, app).await?;
        self.0.repos.remove(app).await
    }

    /// Removes the files of a pipeline that is no more: the cache of its test runs.
    pub async fn remove_pipeline(&self, pipeline: PipelineId) -> Result<()> {
        cache::purge(&self.0, AppId(pipeline.0)).await
    }

    /// Ends a build under way; `false` when it is not under way, or has made its release already.
    pub fn cancel_build(&self, app: AppId, build: BuildId) -> bool {
        self.0.queue.cancel(app, build)
    }

    /// Calls [`Builder::sweep_apps`] every hour until [`Builder::stop`].
    pub async fn sweep_now_and_then(&self) {
        let mut hours = tokio::time::interval(SWEEP_EVERY);
        // The first comes at once, and the start has swept.
        hours.tick().await;
        loop {
            tokio::select! {
                () = self.0.shutdown.cancelled() => return,
                _ = hours.tick() => {}
            }
            let round = Round::begin(SWEEP_EVERY);
            let apps = self.sweep_apps().await;
            if let Err(error) = &apps {
                tracing::warn!(
                    error = chain(error),
                    "Files of destroyed apps could not be removed; they will be in an hour."
                );
            }
            let sources = self.sweep_sources().await;
            if let Err(error) = &sources {
                tracing::warn!(
                    error = chain(error),
                    "Old source archives could not be removed; they will be in an hour."
                );
            }
            round.end(apps.and(sources));
        }
    }

    /// Removes the repositories and caches of apps that the ledger does not have: their removal was interrupted, or a
    /// build that was ending put something back. Returns how many.
    pub async fn sweep_apps(&self) -> Result<usize> {
        sweep::apps(&self.0).await
    }

    /// Removes source archives that are older than a day, and gives up on slugs that waited for their archive as
    /// long. Returns how many.
    pub async fn sweep_sources(&self) -> Result<usize> {
        let context = Arc::clone(&self.0);
        let removed = tokio::task::spawn_blocking(move || sources::sweep(&context)).await??;
        Ok(removed + slugs::forget(&self.0).await?)
    }
}

impl Context {
    /// What comes before an earlier run's leavings are gone would go with them.
    pub(crate) fn is_swept(&self) -> Result<(), Refused> {
        match self.swept.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err(Refused::Later(
                "Ropewalk is starting; try again in a moment.".to_owned(),
            )),
        }
    }

    /// A place among those who send something.
    pub(crate) fn upload_slot(&self) -> Result<OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.push_slots)
            .try_acquire_owned()
            .map_err(|_| {
                Refused::Later(
                    "Too many pushes and archives come in at once on this host. Try again in a minute."
                        .to_owned(),
                )
            })
    }
}
