//! A ledger, logs and outputs in a temporary folder, two people and an administrator, and requests in one call.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use jiff::Timestamp;
use ropewalk_api::{
    Archive, ArchiveError, AttachError, Attachment, BuildRequest, Builds, Context, DynoCounts,
    EngineStatus, InsideRequest, Platform, ProcessStatus, Rate, RunError, RunRequest, RunStarted,
    SchedulerStatus, SigningKey, StackStatus, Status, Terminals, TestRequest, Urls, routes,
};
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_api_types::sni_endpoint::Revocation;
use ropewalk_logs::{Logs, Outputs};
use ropewalk_model::traffic::{Recent, Totals};
use ropewalk_model::{
    AppId, BuildId, DynoId, DynoName, Egress, JobId, PipelineId, ReleaseId, SleepTier, SlugId,
    SourceId, TestNodeId, TestRunId, TokenId, Traffic, UserId,
};
use ropewalk_store::{
    FileJob, JobRun, Key, NewBuild, NewDyno, NewRelease, NewSlug, NewTestRun, NewToken,
    PasswordHash, Release, Store, StoreError,
};
use ropewalk_telemetry::{RoundStatus, Shutdown, TaskState, TaskStatus};
use serde_json::Value;
use tokio::sync::mpsc;
use tower::ServiceExt;
use uuid::Uuid;

pub(crate) const DEV: &str = "token-of-the-developer";
pub(crate) const OTHER: &str = "token-of-somebody-else";
pub(crate) const ADMIN: &str = "token-of-the-admin";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) ctx: Context,
    pub(crate) platform: Arc<FakePlatform>,
    pub(crate) router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON, after a look at the status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Message of an error, after a look at status and id.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, id: &str) -> String {
        let body = self.expect(status);
        assert_eq!(body["id"], id, "{}", self.text);
        body["message"].as_str().unwrap().to_owned()
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with_rate(Rate::REQUESTS).await
    }

    pub(crate) async fn with_rate(rate: Rate) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(&dir.path().join("key")).unwrap();
        let store = Store::open(&dir.path().join("ledger.db"), key).unwrap();
        store
            .write(|tx| {
                let now = Timestamp::now();
                for (n, email, admin, token) in [
                    (1, "dev@example.com", false, DEV),
                    (2, "other@example.com", false, OTHER),
                    (3, "admin@example.com", true, ADMIN),
                ] {
                    let user = UserId(Uuid::from_u128(n));
                    tx.create_user(user, email, admin, now)?;
                    tx.create_token(
                        &NewToken {
                            id: TokenId(Uuid::new_v4()),
                            user,
                            text: token.to_owned(),
                            description: "test".to_owned(),
                            scope: "global".to_owned(),
                            session: false,
                            expires_at: None,
                        },
                        now,
                    )?;
                }
                let images = serde_json::json!({});
                tx.put_stack("debian-13", "sha256:13", &images, now)?;
                tx.put_stack("debian-12", "sha256:12", &images, now)
            })
            .await
            .unwrap();
        let platform = Arc::new(FakePlatform {
            store: store.clone(),
            changes: AtomicU32::new(0),
            drain_changes: AtomicU32::new(0),
            job_changes: AtomicU32::new(0),
            acm_changes: AtomicU32::new(0),
            settles: AtomicU32::new(0),
            certificate_settles: AtomicU32::new(0),
            revocations: Mutex::default(),
            insides: Mutex::default(),
            runs: Mutex::default(),
            deleted: Mutex::default(),
            builds: Mutex::default(),
            running: Mutex::default(),
            archives: Mutex::default(),
            purged: Mutex::default(),
            tests: Mutex::default(),
            cancelled: Mutex::default(),
            pipelines_deleted: Mutex::default(),
            traffic: Mutex::default(),
            totals: Mutex::default(),
            recent: Mutex::default(),
            unbound: Mutex::default(),
            memory: Mutex::default(),
        });
        let ctx = Context {
            terminals: Terminals::new(store.clone()),
            store,
            logs: Logs::open(&dir.path().join("logs")).unwrap(),
            outputs: Outputs::open(&dir.path().join("logs")).unwrap(),
            platform: Arc::clone(&platform) as Arc<dyn Platform>,
            urls: Urls {
                scheme: "http".into(),
                domain: "apps.test".into(),
                port: Some(8080),
                rendezvous: Some("api.apps.test:8443".into()),
            },
            ssh: None,
            signing_key: SigningKey::derive(b"test"),
            default_stack: "debian-13".into(),
            no_acm: None,
            tcp_ports: None,
            egress: Egress::default(),
            shutdown: Shutdown::new(),
            rate,
            login_rate: Rate {
                burst: 5,
                per_minute: 0,
            },
        };
        Self {
            dir,
            router: routes(ctx.clone()),
            ctx,
            platform,
        }
    }

    /// The same with other surroundings.
    pub(crate) fn with_context(self, ctx: Context) -> Self {
        Self {
            router: routes(ctx.clone()),
            ctx,
            ..self
        }
    }

    /// Gives the developer [`PASSWORD`]; costs a moment, so only where it is needed.
    pub(crate) async fn set_password(&self) {
        let (user, hash) = (
            UserId(Uuid::from_u128(1)),
            PasswordHash::of(PASSWORD).unwrap(),
        );
        self.ctx
            .store
            .write(move |tx| tx.set_password(user, &hash, Timestamp::now()))
            .await
            .unwrap();
    }

    /// A token of the developer, made by logging in with [`PASSWORD`].
    pub(crate) async fn log_in(&self) -> String {
        let login = BASE64_STANDARD.encode(format!("dev@example.com:{PASSWORD}"));
        let request = Request::builder()
            .method("POST")
            .uri("/oauth/authorizations")
            .header("authorization", format!("Basic {login}"))
            .body(Body::from(r#"{"scope":["global"]}"#));
        let made = self.send(request.unwrap()).await.expect(201);
        made["access_token"]["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/vnd.heroku+json; version=3");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call_as(DEV, "GET", path, None).await
    }

    pub(crate) async fn get_range(&self, path: &str, range: &str) -> Answer {
        let request = Request::builder()
            .uri(path)
            .header("authorization", format!("Bearer {DEV}"))
            .header("range", range);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call_as(DEV, method, path, Some(body)).await
    }

    /// The developer's app.
    pub(crate) async fn app(&self, name: &str) -> AppId {
        let answer = self
            .call("POST", "/apps", serde_json::json!({"name": name}))
            .await
            .expect(201);
        answer["id"].as_str().unwrap().parse().unwrap()
    }

    /// As a push would: a build, a slug and a release that then passes.
    pub(crate) async fn deploy(&self, app: AppId, types: &[(&str, &str)]) -> Release {
        let release = self.deploy_pending(app, types).await;
        let version = release.version;
        self.ctx
            .store
            .write(move |tx| {
                tx.promote_candidate(app, version, Timestamp::now())?;
                tx.release(app, version)
            })
            .await
            .unwrap()
    }

    pub(crate) async fn deploy_pending(&self, app: AppId, types: &[(&str, &str)]) -> Release {
        let process_types: BTreeMap<String, String> = types
            .iter()
            .map(|(name, command)| ((*name).to_owned(), (*command).to_owned()))
            .collect();
        self.ctx
            .store
            .write(move |tx| {
                let now = Timestamp::now();
                let user = tx.app(app)?.owner;
                let build = BuildId(Uuid::new_v4());
                let commit = Some("1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d".to_owned());
                tx.create_build(
                    &NewBuild {
                        id: build,
                        app,
                        user,
                        commit: commit.clone(),
                        source: None,
                        stack: "debian-13".into(),
                    },
                    now,
                )?;
                let found = serde_json::json!([{"name": "heroku/nodejs", "url": null}]);
                tx.set_build_buildpacks(build, &found, now)?;
                let slug = SlugId(Uuid::new_v4());
                tx.create_slug(
                    &NewSlug {
                        id: slug,
                        app,
                        commit,
                        digest: format!("sha256:{slug}"),
                        images: vec![format!("sha256:{slug}")],
                        image_size: 4096,
                        process_types,
                        buildpack_description: Some("Node.js".into()),
                        stack: "debian-13".into(),
                    },
                    now,
                )?;
                let release = tx.create_release(
                    NewRelease {
                        id: ReleaseId(Uuid::new_v4()),
                        app,
                        user,
                        description: "Deploy 1a2b3c4d".into(),
                        slug: Some(slug),
                        config: None,
                        stack: Some(("debian-13".into(), "sha256:13".into())),
                    },
                    now,
                )?;
                tx.succeed_build(build, slug, release.version, now)?;
                Ok(release)
            })
            .await
            .unwrap()
    }

    /// A release that serves, whose app.json names the job `from-file`.
    pub(crate) async fn deploy_jobs(&self, app: AppId) {
        let release = self.deploy_pending(app, &[("web", "node web.js")]).await;
        let job = FileJob {
            name: "from-file".into(),
            schedule: "0 4 * * *".into(),
            time_zone: "UTC".into(),
            command: "true".into(),
            size: None,
            time_limit: 60,
            overlap: "skip".into(),
            missed: "skip".into(),
        };
        self.ctx
            .store
            .write(move |tx| {
                tx.set_slug_jobs(release.slug.unwrap(), &[job])?;
                tx.promote_candidate(app, release.version, Timestamp::now())
            })
            .await
            .unwrap();
    }

    /// A dyno as the scheduler would start it.
    pub(crate) async fn dyno(&self, app: AppId, name: &str) {
        let name = DynoName::parse(name).unwrap();
        self.ctx
            .store
            .write(move |tx| {
                let version = tx.app(app)?.current_version;
                tx.create_dyno(&new_dyno(app, name, version), Timestamp::now())
            })
            .await
            .unwrap();
    }

    /// An address's token as the API would have sealed it.
    pub(crate) fn sealed(&self, kind: &str, claims: &Value) -> String {
        use aws_lc_rs::hmac;
        use base64::Engine;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
        let root = hmac::Key::new(hmac::HMAC_SHA256, b"test");
        let derived = hmac::sign(&root, b"ropewalk addresses 1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let body = BASE64.encode(claims.to_string());
        let seal = hmac::sign(&key, format!("{kind}.{body}").as_bytes());
        format!("{body}.{}", BASE64.encode(seal))
    }

    /// Texts of the app's log.
    pub(crate) async fn log(&self, app: AppId) -> Vec<String> {
        let filter = ropewalk_logs::Filter::default();
        let entries = self.ctx.logs.read(app, &filter).await.unwrap();
        entries.iter().map(|entry| entry.text.to_string()).collect()
    }
}

fn new_dyno(app: AppId, name: DynoName, release_version: u32) -> NewDyno {
    NewDyno {
        id: DynoId(Uuid::new_v4()),
        app,
        name,
        release_version,
        size: ropewalk_model::DynoSize::DEFAULT,
        command: "node web.js".into(),
        crashes: 0,
        one_off: false,
        attached: false,
        time_to_live: None,
        env: BTreeMap::new(),
    }
}

/// Runs nothing; an attached dyno gives back what it is sent and ends with its input.
pub(crate) struct FakePlatform {
    store: Store,
    pub(crate) changes: AtomicU32,
    pub(crate) drain_changes: AtomicU32,
    pub(crate) job_changes: AtomicU32,
    pub(crate) acm_changes: AtomicU32,
    pub(crate) settles: AtomicU32,
    pub(crate) certificate_settles: AtomicU32,
    /// By chain.
    pub(crate) revocations: Mutex<HashMap<String, Revocation>>,
    pub(crate) insides: Mutex<Vec<InsideRequest>>,
    pub(crate) runs: Mutex<Vec<RunRequest>>,
    pub(crate) deleted: Mutex<Vec<AppId>>,
    pub(crate) builds: Mutex<Vec<BuildRequest>>,
    /// The build under way; there is one at a time.
    pub(crate) running: Mutex<Option<BuildId>>,
    pub(crate) archives: Mutex<HashMap<Uuid, Bytes>>,
    pub(crate) purged: Mutex<Vec<AppId>>,
    pub(crate) tests: Mutex<Vec<TestRequest>>,
    pub(crate) cancelled: Mutex<Vec<TestRunId>>,
    pub(crate) pipelines_deleted: Mutex<Vec<PipelineId>>,
    /// Of every app.
    pub(crate) traffic: Mutex<Traffic>,
    pub(crate) totals: Mutex<BTreeMap<AppId, Totals>>,
    pub(crate) recent: Mutex<Recent>,
    /// Ports that the router could not open; `None` without one.
    pub(crate) unbound: Mutex<Option<BTreeMap<u16, String>>>,
    pub(crate) memory: Mutex<BTreeMap<DynoId, u64>>,
}

impl FakePlatform {
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::SeqCst)
    }

    pub(crate) fn settles(&self) -> u32 {
        self.settles.load(Ordering::SeqCst)
    }
}

/// Keeps archives in memory, and builds nothing.
impl Builds for FakePlatform {
    fn put_source(
        &self,
        _: UserId,
        source: SourceId,
        archive: Archive,
    ) -> BoxFuture<'_, Result<(), ArchiveError>> {
        Box::pin(async move {
            let bytes = all(archive).await;
            match self.archives.lock().unwrap().insert(source.0, bytes) {
                None => Ok(()),
                Some(_) => Err(ArchiveError::Conflict("It is there already.".into())),
            }
        })
    }

    fn source(&self, _: UserId, id: SourceId) -> BoxFuture<'_, Result<Archive, ArchiveError>> {
        Box::pin(async move { self.archive(id.0) })
    }

    fn put_slug(&self, id: SlugId, archive: Archive) -> BoxFuture<'_, Result<(), ArchiveError>> {
        Box::pin(async move {
            let bytes = all(archive).await;
            self.archives.lock().unwrap().insert(id.0, bytes);
            let taken = self
                .store
                .write(move |tx| tx.fulfil_slug(id, "sha256:00", &[], 4096, Timestamp::now()))
                .await;
            taken
                .map(drop)
                .map_err(|error| ArchiveError::Conflict(error.to_string()))
        })
    }

    fn slug(&self, id: SlugId) -> BoxFuture<'_, Result<Archive, ArchiveError>> {
        Box::pin(async move { self.archive(id.0) })
    }

    fn build(&self, request: BuildRequest) -> BoxFuture<'_, Result<BuildId, ArchiveError>> {
        Box::pin(async move {
            if self.running.lock().unwrap().is_some() {
                return Err(ArchiveError::Conflict("Another build is under way.".into()));
            }
            let id = BuildId(Uuid::new_v4());
            let new = NewBuild {
                id,
                app: request.app,
                user: request.user,
                commit: request.version.clone(),
                source: Some(ropewalk_store::BuildSource {
                    url: request.url.clone(),
                    checksum: request.checksum.clone(),
                    description: request.description.clone(),
                }),
                stack: "debian-13".into(),
            };
            self.store
                .write(move |tx| tx.create_build(&new, Timestamp::now()))
                .await
                .map_err(|error| ArchiveError::Failed(error.to_string()))?;
            self.builds.lock().unwrap().push(request);
            *self.running.lock().unwrap() = Some(id);
            Ok(id)
        })
    }

    fn cancel_build(&self, _: AppId, build: BuildId) -> bool {
        let mut running = self.running.lock().unwrap();
        running.take_if(|running| *running == build).is_some()
    }

    fn test(&self, request: TestRequest) -> BoxFuture<'_, Result<TestRunId, ArchiveError>> {
        Box::pin(async move {
            let new = NewTestRun {
                id: TestRunId(Uuid::new_v4()),
                pipeline: request.pipeline,
                user: request.user,
                commit_branch: request.commit_branch.clone(),
                commit_message: request.commit_message.clone(),
                commit_sha: request.commit_sha.clone(),
                source_url: request.url.clone(),
                node: TestNodeId(Uuid::new_v4()),
            };
            let made = self
                .store
                .write(move |tx| tx.create_test_run(&new, Timestamp::now()))
                .await
                .map_err(|error| ArchiveError::Failed(error.to_string()))?;
            self.tests.lock().unwrap().push(request);
            Ok(made.id)
        })
    }

    fn cancel_test(&self, run: TestRunId) {
        self.cancelled.lock().unwrap().push(run);
    }

    fn pipeline_deleted(&self, pipeline: PipelineId) {
        self.pipelines_deleted.lock().unwrap().push(pipeline);
    }

    fn purge_build_cache(&self, app: AppId) -> BoxFuture<'_, Result<(), ArchiveError>> {
        self.purged.lock().unwrap().push(app);
        Box::pin(async { Ok(()) })
    }
}

async fn all(archive: Archive) -> Bytes {
    let chunks: Vec<Bytes> = archive.body.try_collect().await.unwrap();
    chunks.concat().into()
}

impl FakePlatform {
    fn archive(&self, id: Uuid) -> Result<Archive, ArchiveError> {
        let bytes = self.archives.lock().unwrap().get(&id).cloned();
        let bytes = bytes.ok_or(ArchiveError::NotFound)?;
        Ok(Archive {
            length: Some(bytes.len() as u64),
            body: Box::pin(futures_util::stream::iter([Ok(bytes)])),
        })
    }
}

impl Platform for FakePlatform {
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.settles.fetch_add(1, Ordering::SeqCst);
        })
    }

    fn certificates_settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.certificate_settles.fetch_add(1, Ordering::SeqCst);
        })
    }

    fn revocation(&self, chain: &str) -> Option<Revocation> {
        let known = self.revocations.lock().unwrap();
        known.get(chain).cloned()
    }

    fn acm_changed(&self) {
        self.acm_changes.fetch_add(1, Ordering::SeqCst);
    }

    fn log_drains_changed(&self) {
        self.drain_changes.fetch_add(1, Ordering::SeqCst);
    }

    fn jobs_changed(&self) {
        self.job_changes.fetch_add(1, Ordering::SeqCst);
    }

    fn run_job(&self, job: JobId) -> BoxFuture<'_, Result<JobRun, RunError>> {
        Box::pin(async move {
            let run = self
                .store
                .write(move |tx| match tx.job(job)?.settings.command.as_str() {
                    "refuse me" => Err(StoreError::Refused("It runs already.".into())),
                    _ => tx.add_job_run(job, Timestamp::now()),
                })
                .await;
            run.map_err(|error| RunError::Refused(error.to_string()))
        })
    }

    fn sleep(&self, app: AppId, tier: SleepTier) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            self.store
                .write(move |tx| tx.put_to_sleep(app, tier, "put to sleep", Timestamp::now()))
                .await
        })
    }

    fn wake(&self, app: AppId) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let woken = self
                .store
                .write(move |tx| tx.wake_app(app, Timestamp::now()));
            Ok(woken.await?.is_some())
        })
    }

    fn run_inside(&self, request: InsideRequest) -> BoxFuture<'_, Result<String, RunError>> {
        Box::pin(async move {
            if request.command == "refuse me" {
                return Err(RunError::Refused("web.1 is starting.".into()));
            }
            self.insides.lock().unwrap().push(request);
            Ok("s3cret".to_owned())
        })
    }

    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<RunStarted, RunError>> {
        self.runs.lock().unwrap().push(request.clone());
        Box::pin(async move {
            if request.command == "refuse me" {
                return Err(RunError::Refused("No room for another dyno.".into()));
            }
            if request.command == "hang" {
                return std::future::pending().await;
            }
            if request.command == "fail" {
                return Err(RunError::Failed("engine: no such bridge".into()));
            }
            let app = request.app;
            let dyno = self
                .store
                .write(move |tx| {
                    let name = DynoName {
                        process_type: request.process_type,
                        number: 4821,
                    };
                    let version = tx.app(app)?.current_version;
                    let new = NewDyno {
                        size: request.size.unwrap_or(ropewalk_model::DynoSize::DEFAULT),
                        command: request.command,
                        one_off: true,
                        attached: request.attach,
                        ..new_dyno(app, name, version)
                    };
                    tx.create_dyno(&new, Timestamp::now())?;
                    tx.dyno(new.id)
                })
                .await
                .map_err(|error| RunError::Failed(error.to_string()))?
                .ok_or_else(|| RunError::Failed("gone".into()))?;
            Ok(RunStarted {
                attach_secret: dyno.attached.then(|| "s3cret".to_owned()),
                dyno,
            })
        })
    }

    fn attach(&self, secret: &str) -> BoxFuture<'_, Result<Attachment, AttachError>> {
        let known = secret == "s3cret";
        Box::pin(async move {
            if !known {
                return Err(AttachError::Unknown);
            }
            let (input, mut from_client) = mpsc::channel::<ToDyno>(8);
            let (to_client, output) = mpsc::channel(8);
            tokio::spawn(async move {
                let mut code = 129;
                while let Some(frame) = from_client.recv().await {
                    let back = match frame {
                        ToDyno::Stdin(bytes) => FromDyno::Stdout(bytes),
                        ToDyno::Resize { rows, columns } => {
                            FromDyno::Stderr(format!("{rows}x{columns}").into())
                        }
                        ToDyno::Signal(name) => FromDyno::Stderr(name.into()),
                        ToDyno::StdinClosed => {
                            code = 7;
                            break;
                        }
                    };
                    let _ = to_client.send(back).await;
                }
                let _ = to_client.send(FromDyno::Exit(code)).await;
            });
            Ok(Attachment { input, output })
        })
    }

    fn tasks(&self) -> Vec<TaskStatus> {
        let rounds = RoundStatus {
            count: 3,
            within_ms: 10_000,
            last_at: Some(1_767_225_600),
            last_took_ms: 12,
            last_error: None,
            late: false,
        };
        vec![TaskStatus {
            name: "scheduler",
            state: TaskState::Running,
            running: 1,
            restarts: 0,
            last_error: None,
            last_error_at: None,
            rounds: Some(rounds),
        }]
    }

    fn status(&self) -> BoxFuture<'_, Status> {
        Box::pin(async {
            Status {
                server: ProcessStatus {
                    pid: 1,
                    rss_bytes: Some(1 << 20),
                    version: "0.1.0".into(),
                },
                router: None,
                engine: EngineStatus {
                    reachable: true,
                    version: Some("20.10.24".into()),
                    api_version: Some("1.41".into()),
                },
                scheduler: SchedulerStatus::default(),
                stacks: vec![StackStatus {
                    name: "debian-13".into(),
                    version: "sha256:13".into(),
                    apps: 0,
                    apps_behind: 0,
                }],
                dynos: DynoCounts::default(),
                tasks: Vec::new(),
            }
        })
    }

    fn traffic(&self, _: AppId) -> Traffic {
        self.traffic.lock().unwrap().clone()
    }

    fn unbound_ports(&self) -> Option<BTreeMap<u16, String>> {
        self.unbound.lock().unwrap().clone()
    }

    fn totals(&self) -> BTreeMap<AppId, Totals> {
        self.totals.lock().unwrap().clone()
    }

    fn recent(&self, only: Option<AppId>) -> Recent {
        let mut recent = self.recent.lock().unwrap().clone();
        recent
            .apps
            .retain(|app, _| only.is_none_or(|only| *app == only));
        recent
    }

    fn memory(&self, dynos: Vec<DynoId>) -> BoxFuture<'_, BTreeMap<DynoId, u64>> {
        Box::pin(async move {
            let mut memory = self.memory.lock().unwrap().clone();
            memory.retain(|dyno, _| dynos.contains(dyno));
            memory
        })
    }

    fn app_deleted(&self, app: AppId) {
        self.deleted.lock().unwrap().push(app);
    }

    fn repo_size(&self, _: AppId) -> u64 {
        1234
    }
}
