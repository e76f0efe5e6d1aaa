//! Git over SSH, seen from a developer's git and OpenSSH's client.

#![allow(clippy::unwrap_used)] // support code of tests

mod support;

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use ropewalk_engine::Exit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use support::client::{Client, Said, interrupt};
use support::engine::exit;
use support::ssh::Door;
use support::{Rig, until};

#[test]
fn git_hook_entry() {
    support::hook_entry();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_ssh_becomes_a_release_and_can_be_cloned() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    let client = Client::new().await;
    let head = client.git(&["rev-parse", "HEAD"]).await;
    for kind in ["ed25519", "ecdsa"] {
        door.key(&rig, kind, "owner@example.com").await;
    }
    let said = door.push(&client, "ed25519", &["main"]).await;
    assert!(said.ok, "{}", said.text);
    for line in [
        "-----> Node.js app detected",
        "       Released v2",
        "Verifying deploy... done.",
    ] {
        assert!(said.text.contains(line), "{line:?}: {}", said.text);
    }
    assert_eq!(rig.server_ref("refs/heads/main"), Some(head));
    let again = door.push(&client, "ecdsa", &["main"]).await;
    assert!(
        again.ok && again.text.contains("Everything up-to-date"),
        "{}",
        again.text
    );
    let url = door.url("demo");
    // By the newest version of the protocol and by the oldest.
    for version in ["2", "0"] {
        let (setting, folder) = (
            format!("protocol.version={version}"),
            format!("../clone{version}"),
        );
        let arguments = ["-c", &setting, "clone", "-q", &url, &folder];
        let clone = door.git(&client, "ed25519", &arguments).await;
        assert!(clone.ok, "{}", clone.text);
        assert!(
            client
                .dir
                .path()
                .join(format!("clone{version}/app.js"))
                .exists()
        );
    }
    until(5, "nothing of the build is left", || {
        rig.builds_left() == 0 && rig.engine.containers() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_rejects_the_push() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    door.key(&rig, "ed25519", "owner@example.com").await;
    let client = Client::new().await;
    rig.engine.play(async |job| {
        job.node();
        exit(82)
    });
    let said = door.push(&client, "ed25519", &["main"]).await;
    assert!(
        !said.ok && said.text.contains("pre-receive hook declined"),
        "{}",
        said.text
    );
    assert_eq!(rig.server_ref("refs/heads/main"), None);
    assert_eq!(rig.quarantines(), 0);
}

/// More than the windows, buffers and pipes on the way hold, both ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_go_up_and_come_down_whole() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    door.key(&rig, "ed25519", "owner@example.com").await;
    let client = Client::new().await;
    let mut noise = vec![0; 100 << 20];
    rand::rng().fill_bytes(&mut noise);
    client.write("noise", &noise);
    client.commit("large").await;
    let said = door.push(&client, "ed25519", &["main"]).await;
    assert!(
        said.ok && said.text.contains("Released v2"),
        "{}",
        said.text
    );
    let clone = ["clone", "-q", &door.url("demo"), "../clone"];
    let said = door.git(&client, "ed25519", &clone).await;
    assert!(said.ok, "{}", said.text);
    let back = std::fs::read(client.dir.path().join("clone/noise")).unwrap();
    assert!(back == noise, "what came back is something else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_above_the_limit_is_refused() {
    let rig = Rig::with(|options| options.limits.push_bytes = 1 << 20).await;
    let door = Door::open(&rig).await;
    door.key(&rig, "ed25519", "owner@example.com").await;
    let client = Client::new().await;
    let mut noise = vec![0; 8 << 20];
    rand::rng().fill_bytes(&mut noise);
    client.write("noise", &noise);
    client.commit("large").await;
    let said = door.push(&client, "ed25519", &["main"]).await;
    assert!(
        !said.ok && said.text.contains("pack exceeds maximum allowed size"),
        "{}",
        said.text
    );
    assert!(rig.engine.ran.lock().unwrap().is_empty());
    until(5, "what was received is thrown away", || {
        rig.quarantines() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_git_is_run() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    door.key(&rig, "ed25519", "owner@example.com").await;
    let refused = async |options: &[&str], command: &[&str], wanted: &str| {
        let said = door.ssh("ed25519", options, command).await;
        assert!(
            said.text.contains(wanted),
            "{options:?} {command:?}: {}",
            said.text
        );
        said.code
    };
    let hi = "Hi owner@example.com, Ropewalk does not give shell access.";
    assert_eq!(refused(&[], &[], hi).await, Some(1));
    for command in [
        "id",
        "git-receive-pack 'demo.git'; id",
        "git-upload-archive 'demo.git'",
        "scp -t x",
    ] {
        let only = "Ropewalk runs only git here";
        assert_eq!(refused(&[], &[command], only).await, Some(1), "{command}");
    }
    let command = "git-upload-pack '/../demo.git'";
    let unknown = "Couldn't find that app.";
    assert_eq!(refused(&[], &[command], unknown).await, Some(1));
    refused(&["-s"], &["sftp"], "subsystem request failed").await;
    refused(&["-tt"], &[], "PTY allocation request failed").await;
    let inward = format!("127.0.0.1:{}", rig.port);
    refused(&["-W", &inward], &[], "open failed").await;
    let outward = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
    refused(&outward, &["id"], "remote port forwarding failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_come_nowhere() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    let client = Client::new().await;
    door.make("nobodys", "ed25519");
    let said = door.push(&client, "nobodys", &["main"]).await;
    assert!(
        !said.ok && said.text.contains("Permission denied (publickey)"),
        "{}",
        said.text
    );
    // Six keys of nobody end the connection, five before the right one do not.
    let right = door.make("right", "ed25519");
    door.add(&rig, "right", right, "owner@example.com").await;
    let wrong: Vec<String> = (1..=6).map(|n| format!("wrong{n}")).collect();
    for name in &wrong {
        door.make(name, "ed25519");
    }
    for (count, opens) in [(5, true), (6, false)] {
        let mut shown = wrong[1..count].to_vec();
        shown.push("right".to_owned());
        let shown: Vec<String> = shown
            .iter()
            .flat_map(|name| ["-i".to_owned(), door.path(name).display().to_string()])
            .collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let said = door.ssh("wrong1", &shown, &[]).await;
        assert_eq!(
            said.text.contains("Hi owner@example.com"),
            opens,
            "{count}: {}",
            said.text
        );
    }
    // An account that has nothing to do with the app.
    door.key(&rig, "ed25519", "stranger@example.com").await;
    for arguments in [
        ["push", &door.url("demo"), "main"],
        ["ls-remote", &door.url("demo"), "main"],
        ["ls-remote", &door.url("nope"), "main"],
    ] {
        let said = door.git(&client, "ed25519", &arguments).await;
        assert!(
            !said.ok && said.text.contains("Couldn't find that app."),
            "{}",
            said.text
        );
    }
    // A key that was removed.
    let id = door.key(&rig, "ecdsa", "owner@example.com").await;
    let listed = ["ls-remote", &door.url("demo")];
    assert!(door.git(&client, "ecdsa", &listed).await.ok);
    rig.store
        .write(move |tx| {
            let owner = tx.user_by_email("owner@example.com")?.unwrap().id;
            tx.remove_ssh_key(owner, id)
        })
        .await
        .unwrap();
    let said = door.git(&client, "ecdsa", &listed).await;
    assert!(
        said.text.contains("Permission denied (publickey)"),
        "{}",
        said.text
    );
    assert!(rig.engine.ran.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_ends_its_build() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    door.key(&rig, "ed25519", "owner@example.com").await;
    let client = Client::new().await;
    let began = Arc::new(Notify::new());
    let (signal, played) = (Arc::clone(&began), Arc::clone(&rig.engine));
    played.play(move |job| {
        let signal = Arc::clone(&signal);
        async move {
            job.node();
            signal.notify_one();
            std::future::pending::<Exit>().await
        }
    });
    let mut push = door.start_push(&client, "ed25519", "main");
    tokio::time::timeout(Duration::from_secs(30), began.notified())
        .await
        .unwrap();
    interrupt(&push);
    push.wait().await.unwrap();
    until(20, "the build is gone", || {
        rig.engine.containers() == 0 && rig.builds_left() == 0 && rig.quarantines() == 0
    })
    .await;
    assert_eq!(rig.server_ref("refs/heads/main"), None);
    // Nobody's place is kept.
    rig.engine.play(async |job| {
        job.node();
        exit(0)
    });
    let said = door.push(&client, "ed25519", &["main"]).await;
    assert!(said.ok, "{}", said.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_pushes_and_connections() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    door.key(&rig, "ed25519", "owner@example.com").await;
    let client = Client::new().await;
    let began = Arc::new(Notify::new());
    let signal = Arc::clone(&began);
    rig.engine.play(move |job| {
        let signal = Arc::clone(&signal);
        async move {
            job.node();
            signal.notify_one();
            std::future::pending::<Exit>().await
        }
    });
    let mut idle = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
    let push = door.push(&client, "ed25519", &["main"]);
    let stop = async {
        began.notified().await;
        let stopped = tokio::time::timeout(Duration::from_secs(14), rig.builder.stop()).await;
        assert!(stopped.is_ok(), "the builder did not stop in time");
    };
    let both = async { tokio::join!(push, stop) };
    let (said, ()): (Said, ()) = tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .unwrap();
    assert!(!said.ok, "{}", said.text);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), idle.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "an idle connection outlived the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_places() {
    let rig = Rig::new().await;
    let door = Door::open(&rig).await;
    let mut open = Vec::new();
    for n in 0..33 {
        let mut stream = TcpStream::connect(("127.0.0.1", door.port)).await.unwrap();
        let mut line = [0; 8];
        stream.read_exact(&mut line).await.unwrap();
        let wanted: &[u8; 8] = if n < 32 { b"SSH-2.0-" } else { b"Too many" };
        assert_eq!(&line, wanted, "{n}");
        open.push(stream);
    }
    // Noise ends a connection, and its place is free again.
    open[0].write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(open);
    door.key(&rig, "ed25519", "owner@example.com").await;
    let client = Client::new().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let said = door
            .git(&client, "ed25519", &["ls-remote", &door.url("demo")])
            .await;
        if said.ok {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", said.text);
    }
}
