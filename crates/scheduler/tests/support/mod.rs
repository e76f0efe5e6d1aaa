//! A scheduler on a ledger, a log and mounts of its own, with an engine in memory.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    dead_code,
    reason = "support code of several tests, each of which uses a part"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use jiff::Timestamp;
use ropewalk_api_types::router::{MAX_LINE, Table, ToRouter, ToServer};
use ropewalk_engine::fake::FakeEngine;
use ropewalk_engine::{Container, Engine, NetworkSpec};
use ropewalk_logs::{Filter, Logs, Outputs};
use ropewalk_model::formation::Quantity;
use ropewalk_model::{
    AppId, AppName, ConfigVars, InstanceId, ProcessType, ReleaseId, SlugId, UserId,
};
use ropewalk_scheduler::{Config, Parts, Platform, Policy, Routes, Scheduler};
use ropewalk_slug::Mounts;
use ropewalk_store::{Dyno, FormationChange, Key, NewApp, NewRelease, NewSlug, Release, Store};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::{Framed, LinesCodec};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the rig of a test, or leaves the test with the reason printed.
#[macro_export]
macro_rules! rig_or_skip {
    () => {
        match $crate::support::Rig::new().await {
            Some(rig) => rig,
            None => {
                eprintln!("SKIPPED: mounting needs root");
                return;
            }
        }
    };
}

/// Leaves nothing behind, not even after a failed assertion.
pub struct Rig {
    folder: tempfile::TempDir,
    pub instance: InstanceId,
    pub engine: FakeEngine,
    pub store: Store,
    pub user: UserId,
    image: String,
    /// How long containers stand by.
    pub standby: Duration,
    /// Containers that stand by while apps are stopped.
    pub spares: usize,
}

/// One run of the server.
pub struct Server {
    pub scheduler: Scheduler,
    pub logs: Logs,
    pub outputs: Outputs,
    routes: Routes,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// The loop ends; what it began may not.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.logs.flush().await;
    }

    /// Waits for so many passes from now on.
    pub async fn passes(&self, count: u64) {
        for _ in 0..count {
            let before = self.scheduler.status().passes;
            self.scheduler.changed();
            until("a pass", async || self.scheduler.status().passes > before).await;
        }
    }

    /// What an app's dyno wrote, as far as it is in the log.
    pub async fn lines(&self, app: AppId, process: &str) -> Vec<String> {
        let filter = Filter {
            process: Some(process.to_owned()),
            source: Some(ropewalk_model::log_line::LogSource::App),
            ..Filter::default()
        };
        let entries = self.logs.read(app, &filter).await.unwrap();
        entries.iter().map(|entry| entry.text.to_string()).collect()
    }
}

impl Rig {
    pub async fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("rwsched-")
            .tempdir()
            .unwrap();
        let id = Uuid::new_v4().simple().to_string();
        let instance = InstanceId::parse(&id[..8]).unwrap();
        let engine = FakeEngine::new(instance.clone());
        let network = NetworkSpec {
            name: format!("rw-{instance}"),
            subnet: None,
        };
        engine.ensure_network(&network).await.unwrap();

        let tree = folder.path().join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        // Content of its own, so that each test has a digest of its own.
        std::fs::write(tree.join("Procfile"), &id).unwrap();
        let slugs = folder.path().join("slugs");
        std::fs::create_dir_all(&slugs).unwrap();
        let packed = slugs.join("new");
        let digest = ropewalk_slug::pack(&tree, &packed).await.unwrap().digest;
        std::fs::rename(packed, slugs.join(format!("{}.squashfs", digest.hex()))).unwrap();

        let path = folder.path().join("ledger.db");
        let store = Store::open(&path, Key::open(&folder.path().join("key")).unwrap()).unwrap();
        let user = UserId(Uuid::new_v4());
        let images = serde_json::json!({"run": {"config_digest": "sha256:run"}});
        store
            .write(move |tx| {
                tx.create_user(user, "dev@example.com", true, Timestamp::now())?;
                tx.put_stack("debian-13", "sha256:stack", &images, Timestamp::now())
            })
            .await
            .unwrap();
        Some(Self {
            folder,
            instance,
            engine,
            store,
            user,
            image: digest.to_string(),
            standby: Duration::from_secs(3600),
            spares: 0,
        })
    }

    /// All of it.
    pub fn serve(&self) -> Server {
        let server = self.serve_jobs();
        let (running, token) = (server.scheduler.clone(), server.stop.clone());
        let jobs = server.task;
        let task = tokio::spawn(async move {
            running.run(token).await.unwrap();
            jobs.await.unwrap();
        });
        Server { task, ..server }
    }

    /// A server whose jobs begin, and whose dynos are looked at by nobody.
    pub fn serve_jobs(&self) -> Server {
        let logs = Logs::open(&self.folder.path().join("logs")).unwrap();
        let outputs = Outputs::open(&self.folder.path().join("logs")).unwrap();
        let platform = Platform {
            domain: "localhost".to_owned(),
            socket: PathBuf::from("/nonexistent"),
            rendezvous: PathBuf::from("/nonexistent"),
            tcp_ports: Some("20000-20001".parse().unwrap()),
        };
        let routes = Routes::new(platform, logs.clone());
        let scheduler = Scheduler::new(Parts {
            config: Config {
                instance: self.instance.clone(),
                slugs: self.folder.path().join("slugs"),
                network: format!("rw-{}", self.instance),
                policy: Policy {
                    settle: Duration::from_millis(10),
                    ..Policy::default()
                },
                standby: self.standby,
                spares: self.spares,
            },
            store: self.store.clone(),
            engine: Arc::new(self.engine.clone()),
            mounts: self.mounts(),
            logs: logs.clone(),
            outputs: outputs.clone(),
            routes: routes.clone(),
        });
        let stop = CancellationToken::new();
        let (running, token) = (scheduler.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run_jobs(token).await });
        Server {
            scheduler,
            logs,
            outputs,
            routes,
            stop,
            task,
        }
    }

    pub fn mounts(&self) -> Mounts {
        Mounts::open(&self.folder.path().join("mnt")).unwrap()
    }

    /// An app to which nothing was deployed.
    pub async fn blank_app(&self, name: &str) -> AppId {
        let app = AppId(Uuid::new_v4());
        let new = NewApp {
            id: app,
            name: AppName::parse(name).unwrap(),
            owner: self.user,
            stack: "debian-13".into(),
            release: ReleaseId(Uuid::new_v4()),
        };
        self.store
            .write(move |tx| tx.create_app(&new, Timestamp::now()))
            .await
            .unwrap();
        app
    }

    /// An app whose process types run nothing in particular, deployed; its workers are scaled to `workers`.
    pub async fn app(&self, name: &str, types: &[&str], workers: u32) -> AppId {
        let app = self.blank_app(name).await;
        self.release(app, types).await;
        if types.contains(&"worker") {
            self.scale(app, workers).await;
        }
        app
    }

    pub async fn release(&self, app: AppId, types: &[&str]) -> Release {
        self.release_with(app, types, []).await
    }

    pub async fn release_with<const N: usize>(
        &self,
        app: AppId,
        types: &[&str],
        config: [(&str, &str); N],
    ) -> Release {
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = (N > 0).then(|| ConfigVars(config.into()));
        let process_types: BTreeMap<String, String> = types
            .iter()
            .map(|name| ((*name).to_owned(), format!("run {name}")))
            .collect();
        let (image, user, slug) = (self.image.clone(), self.user, SlugId(Uuid::new_v4()));
        self.store
            .write(move |tx| {
                let new = NewSlug {
                    id: slug,
                    app,
                    commit: None,
                    digest: image.clone(),
                    images: vec![image],
                    image_size: 4096,
                    process_types,
                    buildpack_description: None,
                    stack: "debian-13".into(),
                };
                tx.create_slug(&new, Timestamp::now())?;
                let release = NewRelease {
                    id: ReleaseId(Uuid::new_v4()),
                    app,
                    user,
                    description: "Deploy".into(),
                    slug: Some(slug),
                    config,
                    stack: Some(("debian-13".into(), "sha256:stack".into())),
                };
                tx.create_release(release, Timestamp::now())
            })
            .await
            .unwrap()
    }

    pub async fn scale(&self, app: AppId, workers: u32) {
        let change = FormationChange {
            process_type: ProcessType::parse("worker").unwrap(),
            quantity: Some(Quantity::Set(workers)),
            size: None,
        };
        self.store
            .write(move |tx| tx.scale(app, &[change], Timestamp::now()))
            .await
            .unwrap();
    }

    /// Waits until no release of the app is on its way.
    pub async fn concluded(&self, app: AppId) {
        until("its release", async || {
            let read = self.store.read(move |view| view.app(app)).await;
            read.unwrap().candidate_version.is_none()
        })
        .await;
    }

    pub async fn dynos(&self, app: AppId) -> Vec<Dyno> {
        self.store.read(move |view| view.dynos(app)).await.unwrap()
    }

    /// `worker.1 up`, by name.
    pub async fn states(&self, app: AppId) -> Vec<String> {
        let dynos = self.dynos(app).await;
        let state = |dyno: &Dyno| format!("{} {}", dyno.name, dyno.state.as_str());
        dynos.iter().map(state).collect()
    }

    /// The container of the dyno of that name, of any app.
    pub fn container(&self, dyno: &str) -> Option<Container> {
        let mut found = self.engine.containers().into_values();
        found.find(|container| container.labels["ropewalk.name"] == dyno)
    }

    /// How often a verb was called.
    pub fn calls(&self, verb: &str) -> usize {
        let calls = self.engine.calls();
        calls.iter().filter(|call| call.verb == verb).count()
    }
}

/// A router that does as it is told.
pub struct Router {
    lines: Framed<UnixStream, LinesCodec>,
    table: Table,
    _folder: tempfile::TempDir,
}

impl Router {
    pub async fn connect(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("router.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (routes, stop) = (server.routes.clone(), server.stop.clone());
        tokio::spawn(async move { routes.serve(listener, stop).await });
        let stream = UnixStream::connect(&socket).await.unwrap();
        let lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE));
        let mut router = Self {
            lines,
            table: Table::default(),
            _folder: folder,
        };
        let hello = ToServer::Hello {
            pid: 1,
            version: "0.0.0".to_owned(),
            changes: true,
        };
        router.tell(&hello).await;
        router
    }

    /// The next table, which the server tells whole or by what changed.
    pub async fn table(&mut self) -> Table {
        let table = tokio::time::timeout(PATIENCE, self.next_table()).await;
        table.unwrap().unwrap()
    }

    /// The same, however long it takes; `None` when the server is gone.
    pub async fn next_table(&mut self) -> Option<Table> {
        loop {
            let line = self.lines.next().await?.ok()?;
            match serde_json::from_str(&line).unwrap() {
                ToRouter::Table(table) => self.table = table,
                ToRouter::Changes(changes) => assert!(self.table.change(changes), "{line}"),
                ToRouter::Certificates(_) | ToRouter::Ping | ToRouter::Unknown => continue,
            }
            return Some(self.table.clone());
        }
    }

    pub async fn acknowledge(&mut self, generation: u64) {
        let draining = BTreeMap::new();
        let ack = ToServer::Ack {
            generation,
            draining,
            unbound: Vec::new(),
        };
        self.tell(&ack).await;
    }

    pub async fn tell(&mut self, message: &ToServer) {
        let line = serde_json::to_string(message).unwrap();
        self.lines.send(line).await.unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let below = ropewalk_slug::mountinfo::below(self.folder.path()).unwrap_or_default();
        for mount in below.iter().rev() {
            let _ = Command::new("umount")
                .arg("--lazy")
                .arg(&mount.point)
                .status();
        }
    }
}

/// Waits until it holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
