//! Pushes and requests that mean harm, or that went wrong on the way.

#![allow(clippy::unwrap_used)] // support code of tests

mod support;

use std::os::unix::fs::symlink;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tower::ServiceExt;

use support::client::Client;
use support::engine::exit;
use support::{ADMIN, Rig, STRANGER, TOKEN, until};

#[test]
fn git_hook_entry() {
    support::hook_entry();
}

fn basic(token: &str) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("heroku:{token}"));
    format!("Basic {text}")
}

async fn ask(rig: &Rig, path: &str, token: Option<&str>) -> http::Response<Body> {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, basic(token));
    }
    rig.builder
        .routes()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_before_anything_else() {
    let rig = Rig::new().await;
    for path in [
        "/demo.git/info/refs?service=git-receive-pack",
        "/nosuchapp.git/info/refs?service=git-upload-pack",
    ] {
        for token in [None, Some("wrong-token-0123456789")] {
            let response = ask(&rig, path, token).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert!(
                response.headers()[WWW_AUTHENTICATE]
                    .to_str()
                    .unwrap()
                    .starts_with("Basic")
            );
        }
    }
    let refs = "/demo.git/info/refs?service=git-receive-pack";
    assert_eq!(
        ask(&rig, refs, Some(STRANGER)).await.status(),
        StatusCode::NOT_FOUND
    );
    for token in [TOKEN, ADMIN] {
        let response = ask(&rig, refs, Some(token)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["content-type"],
            "application/x-git-receive-pack-advertisement"
        );
        assert!(
            response.headers()["cache-control"]
                .to_str()
                .unwrap()
                .contains("no-cache")
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"001f# service=git-receive-pack\n0000"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_lead_nowhere() {
    let rig = Rig::new().await;
    let long = "a".repeat(4096);
    for name in [
        "..%2fdemo.git",
        "%2e%2e.git",
        "demo.git%00",
        "d%C3%A9mo.git",
        "-oProxyCommand=x.git",
        "demo",
        ".git",
        "DEMO.git",
        long.as_str(),
    ] {
        let path = format!("/{name}/info/refs?service=git-upload-pack");
        let status = ask(&rig, &path, Some(TOKEN)).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{name}");
    }
    let dumb = ask(&rig, "/demo.git/info/refs", Some(TOKEN)).await;
    assert_eq!(dumb.status(), StatusCode::FORBIDDEN);
    let odd = ask(
        &rig,
        "/demo.git/info/refs?service=git-upload-archive",
        Some(TOKEN),
    )
    .await;
    assert_eq!(odd.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        ask(&rig, "/demo.git/config", Some(TOKEN)).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_of_large_pushes_is_answered() {
    let rig = Rig::new().await;
    let request = Request::post("/demo.git/git-receive-pack")
        .header(AUTHORIZATION, basic(TOKEN))
        .header("content-type", "application/x-git-receive-pack-request")
        .body(Body::from("0000"))
        .unwrap();
    let response = rig.builder.routes().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );

    let request = Request::post("/demo.git/git-receive-pack")
        .header(AUTHORIZATION, basic(TOKEN))
        .header("content-type", "text/plain")
        .body(Body::from("0000"))
        .unwrap();
    let response = rig.builder.routes().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_push_is_refused_in_words_and_leaves_nothing() {
    let rig = Rig::with(|options| options.limits.push_bytes = 1 << 20).await;
    let client = Client::new().await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    let noise: Vec<u8> = (0..3 << 20).map(|_| rand::random()).collect();
    client.write("noise", noise);
    client.commit("huge").await;
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(!said.ok);
    assert!(
        said.text.contains("pack exceeds maximum allowed size"),
        "{}",
        said.text
    );
    assert_eq!(rig.quarantines(), 0);
    client.git(&["reset", "-q", "--hard", "HEAD~1"]).await;
    client.write("small", "x");
    client.commit("small").await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
}

/// What a git sends to move `main` from `old` to its HEAD.
async fn receive_pack(client: &Client, old: &str) -> Vec<u8> {
    let next = client.git(&["rev-parse", "HEAD"]).await;
    client
        .git(&["pack-objects", "--all", "-q", "../pack"])
        .await;
    let pack = std::fs::read_dir(client.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "pack"))
        .unwrap();
    let line = format!("{old} {next} refs/heads/main\0 report-status side-band-64k");
    let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    body.extend_from_slice(&std::fs::read(pack).unwrap());
    body
}

/// A connection on which a push of so many bytes has begun.
async fn post(rig: &Rig, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", rig.port)).await.unwrap();
    let head = format!(
        "POST /demo.git/git-receive-pack HTTP/1.1\r\nhost: git\r\nauthorization: {}\r\n\
         content-type: application/x-git-receive-pack-request\r\ncontent-length: {length}\r\n\r\n",
        basic(TOKEN)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_hold_its_build_up() {
    let rig = Rig::with(|options| options.limits.build = Duration::from_secs(1)).await;
    let client = Client::new().await;
    rig.engine.play(async |job| {
        job.node();
        let line = format!("{}\n", "x".repeat(1000)).repeat(1000);
        for _ in 0..64 {
            job.say(&line);
        }
        std::future::pending().await
    });
    let body = receive_pack(&client, &"0".repeat(40)).await;
    let mut stream = post(&rig, body.len()).await;
    stream.write_all(&body).await.unwrap();
    until(20, "the build runs", || rig.engine.containers() == 1).await;
    until(20, "its time is over for the container too", || {
        rig.engine.containers() == 0
    })
    .await;
    drop(stream);
    until(5, "nothing of the build is left", || rig.builds_left() == 0).await;
    assert_eq!(rig.server_ref("refs/heads/main"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_off_leaves_nothing() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    let head = rig.server_ref("refs/heads/main").unwrap();
    client.write(
        "noise",
        (0..1 << 20).map(|_| rand::random()).collect::<Vec<u8>>(),
    );
    client.commit("next").await;
    let body = receive_pack(&client, &head).await;
    for cut in [60, 200, 4000, 100_000, body.len() - 10] {
        let mut stream = post(&rig, body.len()).await;
        stream.write_all(&body[..cut]).await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
    }
    until(5, "no quarantine is left", || rig.quarantines() == 0).await;
    assert_eq!(rig.server_ref("refs/heads/main"), Some(head));
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(said.ok, "{}", said.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_stands_still_does_not_hold_up_the_servers_end() {
    let rig = Rig::new().await;
    let mut stream = post(&rig, 1 << 20).await;
    stream.write_all(b"00").await.unwrap();
    until(10, "git receives", || rig.repo().join("HEAD").exists()).await;
    let began = std::time::Instant::now();
    rig.builder.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_trees_are_refused() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    let blob = client.raw_object("blob", b"x").await;
    let id = |hex: &str| {
        (0..20)
            .map(|n| u8::from_str_radix(&hex[n * 2..n * 2 + 2], 16).unwrap())
            .collect::<Vec<u8>>()
    };
    let entry = |mode: &str, name: &str, hex: &str| {
        [format!("{mode} {name}\0").into_bytes(), id(hex)].concat()
    };
    let inner = client
        .raw_object("tree", &entry("100755", "post-checkout", &blob))
        .await;
    let modules = client
        .raw_object(
            "blob",
            b"[submodule \"x\"]\n\tpath = x\n\turl = -u./payload\n",
        )
        .await;
    let link = client.raw_object("blob", b"/etc/passwd").await;
    for (what, tree) in [
        ("hasDotgit", entry("40000", ".git", &inner)),
        ("hasDotgit", entry("40000", ".GIT", &inner)),
        ("hasDotdot", entry("40000", "..", &inner)),
        ("fullPathname", entry("100644", "a/b", &blob)),
        (
            "duplicateEntries",
            [entry("100644", "a", &blob), entry("100644", "a", &blob)].concat(),
        ),
        ("gitmodulesSymlink", entry("120000", ".gitmodules", &link)),
        ("gitmodulesUrl", entry("100644", ".gitmodules", &modules)),
    ] {
        let tree = client.raw_object("tree", &tree).await;
        let commit = client.commit_of(&tree).await;
        let said = client
            .push(&rig.url(), &[&format!("{commit}:refs/heads/main")])
            .await;
        assert!(
            !said.ok && said.text.contains(what),
            "{what}: {}",
            said.text
        );
        assert_eq!(rig.quarantines(), 0);
    }
    assert!(rig.engine.ran.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_is_said() {
    let rig = Rig::with(|options| options.limits.source_files = 50).await;
    let client = Client::new().await;
    let empty = client.raw_object("tree", b"").await;
    let commit = client.commit_of(&empty).await;
    let said = client
        .push(&rig.url(), &[&format!("{commit}:refs/heads/main")])
        .await;
    assert!(
        !said.ok && said.text.contains("The pushed commit has no files"),
        "{}",
        said.text
    );

    let head = client.git(&["rev-parse", "HEAD"]).await;
    client
        .git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{head},vendor/lib"),
        ])
        .await;
    client.git(&["commit", "-q", "-m", "submodule"]).await;
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        !said.ok && said.text.contains("Submodules are not built: vendor/lib"),
        "{}",
        said.text
    );

    client.git(&["reset", "-q", "--hard", &head]).await;
    for number in 0..50 {
        client.write(&format!("f{number}"), "x");
    }
    client.commit("many").await;
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        !said.ok && said.text.contains("more than 50 files"),
        "{}",
        said.text
    );
    assert!(rig.engine.ran.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_kept_and_never_followed() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    std::fs::remove_file(client.work().join("Procfile")).unwrap();
    symlink("/etc/passwd", client.work().join("Procfile")).unwrap();
    symlink("/etc", client.work().join("etc")).unwrap();
    client.commit("links").await;
    rig.engine.play(async |job| {
        job.node();
        assert!(job.app().join("etc").is_symlink());
        exit(0)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.ok && said.text.contains("Procfile declares types     -> (none)"),
        "{}",
        said.text
    );

    // A build that puts links where we read and pack.
    client.commit("again").await;
    rig.engine.play(async |job| {
        job.node();
        std::fs::remove_dir_all(job.app()).unwrap();
        symlink("/etc", job.app()).unwrap();
        std::fs::remove_dir_all(job.tree.join("cache")).unwrap();
        symlink("/etc", job.tree.join("cache")).unwrap();
        exit(0)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        !said.ok && said.text.contains("The build removed the app's folder."),
        "{}",
        said.text
    );
    client.commit("third").await;
    rig.engine.play(async |job| {
        job.node();
        std::fs::remove_file(job.tree.join("result/release.yml")).unwrap();
        symlink("/etc/passwd", job.tree.join("result/release.yml")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            job.app().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        exit(0)
    });
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        !said.ok && said.text.contains("named pipe"),
        "{}",
        said.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_start_removes_what_a_crash_left() {
    let rig = Rig::new().await;
    let client = Client::new().await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
    let data = rig.data();
    std::fs::create_dir_all(data.join("builds/left/tree")).unwrap();
    std::fs::create_dir_all(data.join("cache/.purged-x")).unwrap();
    let no_app = uuid::Uuid::new_v4();
    std::fs::create_dir_all(data.join(format!("cache/{no_app}/npm"))).unwrap();
    std::fs::create_dir_all(data.join(format!("repos/{no_app}.git/objects"))).unwrap();
    std::fs::write(
        data.join(format!("slugs/{}.squashfs", "0".repeat(64))),
        "half",
    )
    .unwrap();
    std::fs::create_dir(rig.repo().join("objects/tmp_objdir-incoming-abc")).unwrap();
    std::fs::write(rig.repo().join("refs/heads/main.lock"), "").unwrap();
    rig.engine.leave(ropewalk_engine::ContainerSpec {
        name: "left".into(),
        labels: [("ropewalk.kind".to_owned(), "build".to_owned())].into(),
        ..Default::default()
    });
    until(5, "the first build is cleaned up", || {
        rig.builds_left() == 1 && rig.engine.containers() == 1
    })
    .await;
    let swept = rig.builder.sweep().await.unwrap();
    assert_eq!(
        (
            swept.containers,
            swept.folders,
            swept.repositories,
            swept.slugs,
            swept.apps
        ),
        (1, 2, 2, 1, 2)
    );
    assert_eq!(rig.builder.sweep_apps().await.unwrap(), 0);
    assert!(rig.repo().is_dir() && data.join(format!("cache/{}", rig.app)).is_dir());
    assert_eq!(
        support::count(&data.join("slugs")),
        1,
        "what a release needs stays"
    );
    client.commit("next").await;
    assert!(client.push(&rig.url(), &["main"]).await.ok);
}
