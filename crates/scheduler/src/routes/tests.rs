//! What routers report goes on to whoever listens, and what they serve by is waited for.

use uuid::Uuid;

use super::*;

fn routes(dir: &std::path::Path) -> Routes {
    let platform = Platform {
        domain: "localhost".to_owned(),
        socket: PathBuf::new(),
        rendezvous: PathBuf::new(),
        tcp_ports: None,
    };
    Routes::new(platform, Logs::open(dir).unwrap())
}

#[tokio::test]
async fn reports_go_on_by_app() {
    let dir = tempfile::tempdir().unwrap();
    let routes = routes(dir.path());
    let stats = AppStats {
        requests: 3,
        classes: [0, 0, 3, 0, 0, 0],
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
    let measured = routes.measured(app);
    assert_eq!(measured.windows[0].app.classes, [0, 0, 6, 0, 0, 0]);
    assert_eq!(measured.load, None, "no router is connected");
    assert!(traffic.is_empty());
}

#[tokio::test]
async fn certificates_are_certified_once_every_router_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let routes = routes(dir.path());
    let published = |host: &str| {
        routes.publish_certificates(
            vec![Certificate {
                hosts: vec![host.to_owned()],
                chain: String::new(),
                key: ropewalk_api_types::Secret(String::new()),
                staple: None,
            }],
            None,
        );
        routes
            .inner
            .certificates
            .borrow()
            .clone()
            .unwrap()
            .generation
    };
    // Nobody to wait for: neither news nor a router.
    routes.certified().await;
    assert_eq!(published("a.test"), 1);
    assert_eq!(published("a.test"), 1, "the same again is no news");
    routes.certified().await;
    for connection in [1, 2] {
        routes
            .lock()
            .routers
            .insert(connection, RouterView::default());
    }
    assert_eq!(published("b.test"), 2);
    let waiting = routes.clone();
    let mut certified = tokio::spawn(async move { waiting.certified().await });
    for (connection, generation) in [(1, 2), (2, 1)] {
        routes.hear(connection, ToServer::Certified { generation });
    }
    tokio::time::timeout(Duration::from_millis(20), &mut certified)
        .await
        .expect_err("one of them has the older ones");
    routes.hear(2, ToServer::Certified { generation: 2 });
    certified.await.unwrap();
}

#[tokio::test]
async fn what_a_newer_router_says_does_not_end_the_link() {
    use tokio::io::AsyncWriteExt;
    let dir = tempfile::tempdir().unwrap();
    let routes = routes(dir.path());
    let (server, mut router) = UnixStream::pair().unwrap();
    let serving = routes.clone();
    let task = tokio::spawn(async move {
        serving.serve_one(server, CancellationToken::new()).await;
    });
    for line in [
        r#"{"type":"hello","pid":7,"version":"9.9","changes":true,"wakes":true}"#,
        r#"{"type":"yawn","app":"x"}"#,
        r#"{"type":"ack","generation":"many"}"#,
        r#"{"type":"stats","apps":{"x":{"requests":1}}}"#,
        r#"{"type":"certified","generation":3}"#,
    ] {
        router
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }
    let heard = routes.all(|router| router.pid == 7 && router.certified == 3);
    let mut changes = routes.changes();
    while routes.routers().is_empty() {
        changes.changed().await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(20), heard)
        .await
        .expect("the last line was heard");
    assert!(!task.is_finished());
    // What is no JSON at all ends it.
    router.write_all(b"{\n").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), task)
        .await
        .expect("the link ended")
        .unwrap();
}

fn challenge(host: &str) -> ropewalk_api_types::router::Challenge {
    ropewalk_api_types::router::Challenge {
        host: host.to_owned(),
        proof: ropewalk_api_types::router::Proof::Http {
            token: "token".to_owned(),
            authorization: "token.thumb".to_owned(),
        },
    }
}

#[tokio::test]
async fn an_authority_is_told_to_look_only_once_a_router_answers() {
    let dir = tempfile::tempdir().unwrap();
    let routes = routes(dir.path());
    // A router's own certificates are better than none.
    assert!(!routes.publish_challenges(vec![challenge("a.test")]));
    assert_eq!(*routes.inner.certificates.borrow(), None);
    routes.publish_certificates(Vec::new(), None);
    assert!(routes.publish_challenges(vec![challenge("a.test")]));
    let generation = |routes: &Routes| {
        let known = routes.inner.certificates.borrow().clone().unwrap();
        (known.generation, known.challenges.len())
    };
    assert_eq!(generation(&routes), (2, 1));
    assert!(routes.publish_challenges(vec![challenge("a.test")]));
    assert_eq!(generation(&routes), (2, 1), "the same again is no news");
    let waiting = routes.clone();
    let mut answering = tokio::spawn(async move { waiting.answering().await });
    tokio::time::timeout(Duration::from_millis(20), &mut answering)
        .await
        .expect_err("there is no router");
    routes.lock().routers.insert(1, RouterView::default());
    routes.bump();
    tokio::time::timeout(Duration::from_millis(20), &mut answering)
        .await
        .expect_err("it has not answered");
    routes.hear(1, ToServer::Certified { generation: 2 });
    answering.await.unwrap();
    // Certificates that change meanwhile leave the answers as they are.
    routes.publish_certificates(
        vec![Certificate {
            hosts: Vec::new(),
            chain: String::new(),
            key: ropewalk_api_types::Secret(String::new()),
            staple: None,
        }],
        None,
    );
    assert_eq!(generation(&routes), (3, 1));
}
