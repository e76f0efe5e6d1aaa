//! A ledger with one app, its log, and drains that wait less long than usual.

use std::time::Duration;

use jiff::Timestamp;
use ropewalk_log_drains::{LogDrains, Parts, Timing};
use ropewalk_logs::{Filter, Logs};
use ropewalk_model::log_line::LogSource;
use ropewalk_model::{AppId, AppName, DrainUrl, Egress, ReleaseId, UserId};
use ropewalk_store::{Key, LogDrain, NewApp, Store};
use ropewalk_telemetry::Shutdown;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// For whatever a test waits for.
const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const CERT: &str = include_str!("fixtures/localhost.pem");
pub(crate) const KEY: &str = include_str!("fixtures/localhost.key");

pub(crate) struct Rig {
    pub(crate) logs: Logs,
    pub(crate) drains: LogDrains,
    pub(crate) app: AppId,
    store: Store,
    shutdown: Shutdown,
    running: JoinHandle<()>,
    _dir: TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) fn quick() -> Timing {
    let ms = Duration::from_millis;
    Timing {
        first_wait: ms(10),
        longest_wait: ms(100),
        gather: ms(30),
        ..Timing::default()
    }
}

/// In time, or the test fails.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(DEADLINE, what).await.unwrap()
}

impl Rig {
    /// Drains may connect to loopback and trust the fixture's certificate.
    pub(crate) async fn new() -> Self {
        Self::with(&["127.0.0.0/8", "::1"], true, quick()).await
    }

    pub(crate) async fn with(listed: &[&str], trust: bool, timing: Timing) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(&dir.path().join("key")).unwrap();
        let store = Store::open(&dir.path().join("ledger.db"), key).unwrap();
        let app = AppId(Uuid::new_v4());
        let make = move |tx: &ropewalk_store::Tx<'_>| {
            let user = UserId(Uuid::new_v4());
            tx.create_user(user, "dev@example.com", true, Timestamp::now())?;
            let new = NewApp {
                id: app,
                name: AppName::parse("demo").unwrap(),
                owner: user,
                stack: "debian-13".into(),
                release: ReleaseId(Uuid::new_v4()),
            };
            tx.create_app(&new, Timestamp::now())
        };
        store.write(make).await.unwrap();
        let logs = Logs::open(&dir.path().join("logs")).unwrap();
        let mut roots = RootCertStore::empty();
        if trust {
            let cert = CertificateDer::from_pem_slice(CERT.as_bytes()).unwrap();
            roots.add(cert).unwrap();
        }
        let drains = LogDrains::new(Parts {
            store: store.clone(),
            logs: logs.clone(),
            egress: Egress::new(listed.iter().map(|range| range.parse().unwrap()).collect()),
            roots,
            timing,
        })
        .unwrap();
        let shutdown = Shutdown::new();
        let (runner, token) = (drains.clone(), shutdown.clone());
        Self {
            logs,
            drains,
            app,
            store,
            shutdown,
            running: tokio::spawn(async move { runner.run(token).await }),
            _dir: dir,
        }
    }

    pub(crate) async fn add(&self, url: &str) -> LogDrain {
        let (id, app) = (Uuid::new_v4(), self.app);
        let url = DrainUrl::parse(url).unwrap();
        let token = format!("d.{id}");
        let drain = self
            .store
            .write(move |tx| tx.add_log_drain(id, app, &token, &url, Timestamp::now()))
            .await
            .unwrap();
        self.drains.changed();
        drain
    }

    pub(crate) async fn remove(&self, drain: &LogDrain) {
        let id = drain.id;
        let removed = self.store.write(move |tx| tx.remove_log_drain(id)).await;
        assert!(removed.unwrap());
        self.drains.changed();
    }

    pub(crate) fn write(&self, process: &str, text: &str) {
        let source = match process {
            "router" => LogSource::Heroku,
            _ => LogSource::App,
        };
        let at = Timestamp::now();
        self.logs
            .append(self.app, at, source, process, text.as_bytes());
    }

    /// The first line of the app's log that says `word`.
    pub(crate) async fn said(&self, word: &str) -> String {
        let mut follow = self
            .logs
            .follow(self.app, Filter::default(), None)
            .await
            .unwrap();
        soon(async {
            loop {
                let entry = follow.next().await.unwrap();
                if entry.text.contains(word) {
                    return entry.line();
                }
            }
        })
        .await
    }

    /// As when the server ends.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        soon(&mut self.running).await.unwrap();
    }
}
