//! What an authority says about a certificate, from the command that brings it to the client's handshake: the real
//! server, router and CLI, and OpenSSL at both ends. No engine is there, and none is needed for it.

#![allow(clippy::unwrap_used, dead_code)] // support code of tests

#[path = "../../../ocsp/tests/openssl/authority.rs"]
mod authority;

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use authority::{Authority, Leaf, Signer, Word, until};
use jiff::Timestamp;
use ropewalk_api_types::router::{Table, Target};
use ropewalk_store::{Key, Store};
use tempfile::TempDir;
use tokio::process::{Child, Command};

struct Platform {
    dir: TempDir,
    port: u16,
    token: String,
    _server: Child,
    _router: Child,
}

impl Platform {
    /// Of this machine alone.
    async fn start() -> Self {
        let platform = Self::begin(None).await;
        until("the API", async || platform.try_run(&["apps"]).await).await;
        platform
    }

    /// With a certificate in files; `port` is that of TLS.
    async fn start_with(own: &Leaf) -> Self {
        Self::begin(Some(own)).await
    }

    async fn begin(own: Option<&Leaf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for folder in ["router", "run"] {
            std::fs::create_dir_all(data.join(folder)).unwrap();
        }
        // Apps are made on a stack, and only an engine builds one.
        let key = Key::open(&data.join("key")).unwrap();
        let store = Store::open(&data.join("ledger.db"), key).unwrap();
        let images = serde_json::json!({});
        store
            .write(move |tx| tx.put_stack("debian-13", "sha256:13", &images, Timestamp::now()))
            .await
            .unwrap();
        drop(store);
        // A server that sees no engine makes no table: the router serves by the last one.
        let socket = data.join("run/platform.sock").display().to_string();
        let table = Table {
            generation: 1,
            hosts: [("api.localhost".to_owned(), Target::Platform { socket })].into(),
            ..Table::default()
        };
        let table = serde_json::to_vec(&table).unwrap();
        std::fs::write(data.join("router/table.json"), table).unwrap();
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = match own {
            None => socket.local_addr().unwrap().port(),
            Some(_) => authority::free(),
        };
        let files = own.map(|own| files(&dir, own));
        let start = |input: Stdio, args: &[&str]| {
            command(&dir)
                .args(args)
                .arg("--data")
                .arg(&data)
                .args(own.is_none().then_some("--local-tls"))
                .stdin(input)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        let egress = ["--allow-egress", "127.0.0.0/8"];
        let shown = port.to_string();
        let mut of_server = [&["server", "--port", &shown], &egress[..]].concat();
        let mut of_router = vec!["router", "--listen-stdin"];
        let tls = format!("127.0.0.1:{port}");
        if let Some([chain, key]) = &files {
            of_server.extend(["--domain", "example.com", "--https", "--cert", chain]);
            of_router.extend(["--tls-listen", &tls, "--cert", chain, "--key", key]);
        }
        let server = start(Stdio::null(), &of_server);
        let router = start(Stdio::from(OwnedFd::from(socket)), &of_router);
        let token = until("the administrator's token", async || {
            std::fs::read_to_string(data.join("admin-token")).ok()
        })
        .await;
        Self {
            dir,
            port,
            token: token.trim().to_owned(),
            _server: server,
            _router: router,
        }
    }

    /// What a command that works prints.
    async fn run(&self, args: &[&str]) -> String {
        let text = self.try_run(args).await;
        text.unwrap_or_else(|| panic!("{args:?} failed"))
    }

    async fn try_run(&self, args: &[&str]) -> Option<String> {
        let url = format!("http://api.localhost:{}", self.port);
        let ran = command(&self.dir)
            .args(args)
            .env("ROPEWALK_URL", url)
            .env("ROPEWALK_TOKEN", &self.token)
            .output()
            .await
            .unwrap();
        let text = [ran.stderr, ran.stdout].concat();
        ran.status
            .success()
            .then(|| String::from_utf8(text).unwrap())
    }

    /// What the doctor says. Much is missing here.
    async fn doctor(&self) -> String {
        let mut command = command(&self.dir);
        command
            .args(["doctor", "--data"])
            .arg(self.dir.path().join("data"));
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    }

    /// What OpenSSL sees of a handshake for a name.
    async fn handshake(&self, authority: &Authority, version: &str) -> String {
        let ran = Command::new("openssl")
            .args(["s_client", "-status", "-servername", "www.example.com"])
            .args(["-connect", &format!("127.0.0.1:{}", self.port), version])
            .arg("-CAfile")
            .arg(authority.root())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

/// Writes chain and key into files.
fn files(dir: &TempDir, leaf: &Leaf) -> [String; 2] {
    [("chain.pem", &leaf.chain), ("key.pem", &leaf.key)].map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    })
}

fn command(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
    command
        .env_clear()
        // Neither engine nor packet filter of this machine.
        .env("PATH", dir.path())
        .env("HOME", dir.path())
        .env(
            "DOCKER_HOST",
            format!("unix://{}/none", dir.path().display()),
        )
        .env("TZ", "UTC")
        .current_dir(dir.path())
        .stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_given_the_authoritys_word_with_the_handshake() {
    let mut authority = Authority::new();
    let words = [(0x1001, Word::Good), (0x1002, Word::Revoked)];
    authority.answer(Signer::Delegate, 2, &words).await;
    let platform = Platform::start().await;
    platform.run(&["apps:create", "shop", "--no-remote"]).await;
    platform
        .run(&["domains:add", "www.example.com", "-a", "shop"])
        .await;
    let good = authority.leaf("www.example.com", 0x1001, true);
    let [chain, key] = files(&platform.dir, &good);
    platform
        .run(&["certs:add", &chain, &key, "-a", "shop"])
        .await;
    for version in ["-tls1_3", "-tls1_2"] {
        until("the word", async || {
            let seen = platform.handshake(&authority, version).await;
            let is_there = seen.contains("OCSP Response Status: successful")
                && seen.contains("Cert Status: good")
                && seen.contains("Verify return code: 0 (ok)");
            is_there.then_some(())
        })
        .await;
    }
    let shown = platform.run(&["certs:info", "-a", "shop"]).await;
    assert!(
        shown.contains("Revoked:        no, as clients are told until "),
        "{shown}"
    );
    until("the doctor's finding", async || {
        let doctor = platform.doctor().await;
        doctor
            .contains("ok   ocsp             1 of 1 served with their authority's word")
            .then_some(())
    })
    .await;

    // Another one in its place, which the authority took back.
    let revoked = authority.leaf("www.example.com", 0x1002, false);
    let [chain, key] = files(&platform.dir, &revoked);
    platform
        .run(&[
            "certs:update",
            &chain,
            &key,
            "-a",
            "shop",
            "--confirm",
            "shop",
        ])
        .await;
    let shown = until("what certs:info says", async || {
        let shown = platform.run(&["certs:info", "-a", "shop"]).await;
        shown.contains("YES").then_some(shown)
    })
    .await;
    assert!(
        shown.contains(
            "YES, clients refuse it, since 2026-01-02 03:04 UTC (its key is compromised)"
        ),
        "{shown}"
    );
    let seen = platform.handshake(&authority, "-tls1_3").await;
    assert!(seen.contains("OCSP response: no response sent"), "{seen}");
    until("the doctor's finding", async || {
        let doctor = platform.doctor().await;
        doctor
            .contains("BAD  ocsp             www.example.com: the certificate was revoked")
            .then_some(())
    })
    .await;
    let log = until("the app's log", async || {
        let log = platform.run(&["logs", "-a", "shop"]).await;
        log.contains("Warning: ").then_some(log)
    })
    .await;
    let line = "app[api]: Warning: www.example.com: the certificate was revoked by its authority on 2026-01-02";
    assert!(log.contains(line), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_in_files_is_asked_about_too() {
    let mut authority = Authority::new();
    authority
        .answer(Signer::Issuer, 2, &[(0x2001, Word::Good)])
        .await;
    let own = authority.leaf("www.example.com", 0x2001, true);
    let platform = Platform::start_with(&own).await;
    until("the word", async || {
        let seen = platform.handshake(&authority, "-tls1_3").await;
        let is_there = seen.contains("Cert Status: good") && seen.contains("code: 0 (ok)");
        is_there.then_some(())
    })
    .await;
}
