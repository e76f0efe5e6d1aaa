//! A builder with a real ledger, real git and a real listener; the engine and the scheduler are played here.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "support code of tests; each test binary uses its part"
)]

pub mod client;
pub mod dynos;
pub mod engine;
pub mod releases;
pub mod rootfs;
pub mod ssh;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use ropewalk_builder::{
    AppUrls, Builder, Egress, EgressError, Fetched, Limits, Options, OutputSink, Outputs,
};
use ropewalk_engine::Engine;
use ropewalk_model::{AppId, AppName, BuildId, InstanceId, ReleaseId, TokenId, UserId};
use ropewalk_store::{Build, BuildStatus, Key, NewApp, NewToken, Store};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use uuid::Uuid;

use dynos::PlayedDynos;
use engine::PlayedEngine;
use releases::PlayedReleases;

pub const TOKEN: &str = "owner-token-0123456789";
pub const STRANGER: &str = "stranger-token-0123456789";
pub const ADMIN: &str = "admin-token-0123456789";

pub struct Rig {
    pub dir: TempDir,
    pub store: Store,
    pub builder: Builder,
    pub engine: Arc<PlayedEngine>,
    pub releases: Arc<PlayedReleases>,
    pub output: Arc<KeptOutput>,
    pub dynos: Arc<PlayedDynos>,
    pub app: AppId,
    pub port: u16,
}

/// Everything that builds wrote, and what was said of them.
#[derive(Debug, Default)]
pub struct KeptOutput {
    written: std::sync::Mutex<String>,
    said: std::sync::Mutex<Vec<String>>,
}

struct Sink(Arc<KeptOutput>);

#[derive(Debug)]
struct Opener(Arc<KeptOutput>);

impl Outputs for Opener {
    fn open(&self, _: Uuid) -> Box<dyn OutputSink> {
        Box::new(Sink(Arc::clone(&self.0)))
    }

    fn forget(&self, _: AppId) {}

    fn say(&self, _: AppId, text: &str) {
        self.0.said.lock().unwrap().push(text.to_owned());
    }
}

impl OutputSink for Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.0
            .written
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
    }
}

/// A web with one page; the rest of it is not to be asked.
#[derive(Debug)]
struct PlayedWeb;

impl Egress for PlayedWeb {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>> {
        Box::pin(async move {
            if url != "https://web.example/source.tgz" {
                return Err(EgressError::Refused("that host may not be asked".into()));
            }
            let bytes = bytes::Bytes::from(tgz(&[("Procfile", "web: from the web\n")]));
            Ok(Fetched {
                length: Some(bytes.len() as u64),
                body: Box::pin(futures_util::stream::iter([Ok(bytes)])),
            })
        })
    }
}

/// A tar.gz of these files.
pub fn tgz(files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        builder
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

impl KeptOutput {
    pub fn text(&self) -> String {
        self.written.lock().unwrap().clone()
    }

    /// What stands in apps' logs.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let engine = Arc::new(PlayedEngine::default());
        let played = Arc::clone(&engine);
        Self::on(engine, played, "sha256:build", change).await
    }

    /// On any engine; `played` is unused then.
    pub async fn on(
        engine: Arc<dyn Engine>,
        played: Arc<PlayedEngine>,
        image: &str,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let store = Store::open(
            &data.join("ledger.db"),
            Key::open(&data.join("key")).unwrap(),
        )
        .unwrap();
        let app = fill(&store, image).await;
        let socket = dir.path().join("hook.sock");
        let buildpacks = dir.path().join("buildpacks");
        std::fs::create_dir_all(buildpacks.join("nodejs/bin")).unwrap();
        std::fs::write(buildpacks.join("order"), "nodejs heroku/nodejs\n").unwrap();
        let mut options = Options {
            data,
            instance: InstanceId::parse("0badcafe").unwrap(),
            buildpacks,
            hook_command: hook_command(&socket),
            urls: AppUrls {
                scheme: "http".into(),
                suffix: "localhost:8080".into(),
            },
            environment: BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]),
            inherit: true,
            limits: Limits {
                disk_floor: 0,
                // So that nothing is left after a build; tests of what waits for the next one say how long.
                ready: Duration::ZERO,
                ..Limits::default()
            },
        };
        change(&mut options);
        let releases = Arc::new(PlayedReleases::new(store.clone()));
        let output = Arc::new(KeptOutput::default());
        let dynos = Arc::new(PlayedDynos::default());
        let builder = Builder::new(
            options,
            store.clone(),
            engine,
            Arc::clone(&releases) as _,
            Arc::new(Opener(Arc::clone(&output))),
            Arc::new(PlayedWeb),
            Arc::clone(&dynos) as _,
        )
        .unwrap();
        let hooks = UnixListener::bind(&socket).unwrap();
        tokio::spawn({
            let builder = builder.clone();
            async move { builder.serve_hooks(hooks).await }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = builder.routes();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            dir,
            store,
            builder,
            engine: played,
            releases,
            output,
            dynos,
            app,
            port,
        }
    }

    /// The app's owner.
    pub async fn owner(&self) -> UserId {
        let app = self.app;
        let app = self.store.read(move |view| view.app(app)).await.unwrap();
        app.owner
    }

    /// Waits until a build has ended.
    pub async fn ended(&self, build: BuildId) -> Build {
        let (app, began) = (self.app, Instant::now());
        loop {
            let row = self.store.read(move |view| view.build(app, build)).await;
            let row = row.unwrap();
            if row.status != BuildStatus::Pending && self.builds_left() == 0 {
                return row;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{row:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://x:{TOKEN}@127.0.0.1:{}/demo.git", self.port)
    }

    pub fn repo(&self) -> PathBuf {
        self.data().join(format!("repos/{}.git", self.app))
    }

    /// The commit of a ref in the server's repository.
    pub fn server_ref(&self, name: &str) -> Option<String> {
        let output = std::process::Command::new("git")
            .args([
                "--git-dir",
                self.repo().to_str().unwrap(),
                "rev-parse",
                "--verify",
                "--quiet",
                name,
            ])
            .output()
            .unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    pub fn builds_left(&self) -> usize {
        count(&self.data().join("builds"))
    }

    /// Quarantines of pushes.
    pub fn quarantines(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.repo().join("objects")) else {
            return 0;
        };
        entries
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                let name = name.to_string_lossy();
                name.starts_with("tmp_objdir") || name.starts_with("incoming")
            })
            .count()
    }
}

pub fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// Waits until it holds; fails the test after `seconds`.
pub async fn until(seconds: u64, what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(seconds),
            "waited too long until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The test's own program plays the `ropewalk git-hook`: each test file has a test `git_hook_entry`.
fn hook_command(socket: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    [
        "/bin/sh",
        "-c",
        "ROPEWALK_TEST_SOCKET=$1 exec \"$0\" --exact git_hook_entry --nocapture >/dev/null",
        program.to_str().unwrap(),
        socket.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Body of the test `git_hook_entry`.
#[allow(clippy::exit)]
pub fn hook_entry() {
    let Some(socket) = std::env::var_os("ROPEWALK_TEST_SOCKET") else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let status = runtime.block_on(ropewalk_builder::hook_main(Path::new(&socket)));
    std::process::exit(status.into());
}

async fn fill(store: &Store, image: &str) -> AppId {
    let images = serde_json::json!({"run": {"config_digest": "sha256:run"}, "build": {"config_digest": image}});
    store
        .write(move |tx| {
            let now = Timestamp::now();
            let mut users = Vec::new();
            for (email, token, admin) in [
                ("owner@example.com", TOKEN, false),
                ("stranger@example.com", STRANGER, false),
                ("admin@example.com", ADMIN, true),
            ] {
                let user = UserId(Uuid::new_v4());
                tx.create_user(user, email, admin, now)?;
                tx.create_token(
                    &NewToken {
                        id: TokenId(Uuid::new_v4()),
                        user,
                        text: token.to_owned(),
                        description: "test".into(),
                        scope: "global".into(),
                        session: false,
                        expires_at: None,
                    },
                    now,
                )?;
                users.push(user);
            }
            tx.put_stack("debian-13", "sha256:stack", &images, now)?;
            let app = AppId(Uuid::new_v4());
            tx.create_app(
                &NewApp {
                    id: app,
                    name: AppName::parse("demo").unwrap(),
                    owner: users[0],
                    stack: "debian-13".into(),
                    release: ReleaseId(Uuid::new_v4()),
                },
                now,
            )?;
            Ok(app)
        })
        .await
        .unwrap()
}
