//! What routers report goes on to whoever listens.

use uuid::Uuid;

use super::*;

#[tokio::test]
async fn reports_go_on_by_app() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Platform {
        domain: "localhost".to_owned(),
        socket: PathBuf::new(),
        rendezvous: PathBuf::new(),
    };
    let routes = Routes::new(platform, Logs::open(dir.path()).unwrap());
    let stats = AppStats {
        requests: 3,
        p95_ms: 40,
        ..AppStats::default()
    };
    let app = AppId(Uuid::from_u128(1));
    let apps = BTreeMap::from([
        (app.to_string(), stats.clone()),
        ("no id".to_owned(), AppStats::default()),
    ]);
    // Nobody listens yet.
    routes.hear(1, ToServer::Stats { apps: apps.clone() });
    let mut traffic = routes.traffic();
    routes.hear(1, ToServer::Stats { apps });
    let report = traffic.recv().await.unwrap();
    assert_eq!(*report, HashMap::from([(app, stats.clone())]));
    assert_eq!(routes.stats(app), Some(stats));
    assert!(traffic.is_empty());
}
