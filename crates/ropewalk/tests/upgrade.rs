//! `ropewalk router:upgrade` under load: one router after another takes the sockets over, and no client notices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use ropewalk_api_types::router::{AppRoute, Table, Target};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
const UPGRADES: usize = 20;

/// The data directory of a router whose server is away, and the router.
struct Rig {
    folder: TempDir,
    url: String,
    first: Child,
}

impl Rig {
    fn start(upstream: SocketAddr) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let route: AppRoute = serde_json::from_value(serde_json::json!({
            "name": "app",
            "maintenance": false,
            "when_empty": "booting",
            "upstreams": [{"id": "dyno", "dyno": "web.1", "addr": upstream}],
        }))
        .unwrap();
        let target = Target::App { app: "id".into() };
        let table = Table {
            generation: 1,
            hosts: BTreeMap::from([("app.test".to_owned(), target)]),
            apps: BTreeMap::from([("id".to_owned(), route)]),
            ..Table::default()
        };
        let file = folder.path().join("router/table.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, serde_json::to_vec(&table).unwrap()).unwrap();
        // Held until the router has its own handle, so that nobody else gets the port.
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", held.local_addr().unwrap());
        let socket = std::os::fd::OwnedFd::from(held);
        let first = command(folder.path(), "router")
            .arg("--listen-stdin")
            .stdin(Stdio::from(socket))
            .spawn()
            .unwrap();
        let rig = Rig { folder, url, first };
        let deadline = Instant::now() + DEADLINE;
        while rig.pids().is_empty() {
            assert!(Instant::now() < deadline, "the router does not start");
            std::thread::yield_now();
        }
        rig
    }

    /// The process that the pid file names, if it runs.
    fn pids(&self) -> HashSet<u32> {
        let names = |path: PathBuf| {
            let pid = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
            Path::new("/proc")
                .join(format!("{pid}"))
                .exists()
                .then_some(pid)
        };
        let files = ["run/router.pid", "router.pid"];
        let folder = self.folder.path();
        files
            .iter()
            .filter_map(|file| names(folder.join(file)))
            .collect()
    }

    /// Has the router replaced; what the command says.
    fn upgrade(&self) -> String {
        let output = command(self.folder.path(), "router:upgrade")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn command(data: &Path, mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
    command.arg(mode).arg("--data").arg(data);
    command.stdin(Stdio::null());
    command
}

/// A dyno that answers at once, and on `/slow` after a while.
async fn dyno() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        "slow"
    };
    let app = Router::new()
        .route("/", get(|| async { "quick" }))
        .route("/slow", get(slow));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn client(keep_alive: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    match keep_alive {
        true => builder,
        false => builder.pool_max_idle_per_host(0),
    }
    .build()
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_routers_take_over_from_each_other() {
    let rig = Rig::start(dyno().await);
    let (over, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = [
        ("", true),
        ("", true),
        ("", false),
        ("", false),
        ("slow", true),
    ]
    .into_iter()
    .map(|(path, keep_alive)| {
        let (client, url) = (client(keep_alive), format!("{}{path}", rig.url));
        let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
        tokio::spawn(async move {
            while !over.load(SeqCst) {
                let request = client.get(&url).header("Host", "app.test");
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), 200);
                let body = response.text().await.unwrap();
                assert!(["quick", "slow"].contains(&body.as_str()));
                answered.fetch_add(1, SeqCst);
            }
        })
    })
    .collect();
    let mut seen = rig.pids();
    let rig = tokio::task::spawn_blocking(move || {
        for _ in 0..UPGRADES {
            let said = rig.upgrade();
            assert!(
                said.starts_with("Upgrading router... done, process "),
                "{said}"
            );
            let now = rig.pids();
            assert!(seen.is_disjoint(&now));
            seen.extend(now);
        }
        rig
    })
    .await
    .unwrap();
    over.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered.load(SeqCst) > 100);
    drop(rig);
}

#[test]
fn without_a_router_there_is_nothing_to_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    for why in ["There is no Ropewalk at", "No router runs on"] {
        let output = command(folder.path(), "router:upgrade").output().unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(why), "{error}");
        std::fs::write(folder.path().join("instance"), "0123abcd").unwrap();
    }
}
