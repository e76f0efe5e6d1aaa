//! Where drains may not connect to.

use tokio::net::TcpListener;

use crate::rig::{Rig, quick};

#[tokio::test]
async fn nothing_is_sent_to_the_host_unless_the_administrator_lists_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let rig = Rig::with(&[], true, quick()).await;
    let drain = rig
        .add(&format!("https://user:hunter2@localhost:{port}/key"))
        .await;
    rig.write("web.1", "x");
    let line = rig.said("Error L13").await;
    assert!(line.contains(&drain.token), "{line}");
    assert!(!line.contains("hunter2") && !line.contains("key"), "{line}");
    let nobody = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(nobody.is_err());
}
