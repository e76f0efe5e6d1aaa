//! The conformance walk over this API, served on loopback.

use conformance::{Subject, walk};

use crate::rig::{DEV, Rig};

#[tokio::test]
async fn every_resource_and_verb_passes_or_is_refused_as_designed() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "node web.js"), ("release", "migrate")])
        .await;
    rig.dyno(app, "web.1").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = rig.router.clone();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let report = walk(&Subject {
        base,
        token: DEV.to_owned(),
        deployed: Some("demo".to_owned()),
    })
    .await
    .unwrap();
    assert_eq!(report.failures(), 0, "{report}");
    assert!(report.passes() >= 70, "{report}");
    // It leaves nothing behind.
    let apps = rig.get("/apps").await.json();
    assert_eq!(apps.as_array().unwrap().len(), 1, "{apps}");
}
