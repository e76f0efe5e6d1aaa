//! Certificates whose authority answers by OpenSSL's own responder, and authorities that answer badly.

#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // support code of tests

mod authority;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use authority::{Authority, Leaf, Signer, Word, until};
use jiff::{SignedDuration, Timestamp};
use ropewalk_logs::{Filter, Logs};
use ropewalk_model::{AppId, Egress};
use ropewalk_ocsp::{Parts, Served, Staple, Staples, State, Status, Timing, look};
use ropewalk_telemetry::Tasks;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

struct Rig {
    dir: TempDir,
    logs: Logs,
    app: AppId,
    staples: Staples,
    tasks: Tasks,
}

impl Rig {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap(), &["127.0.0.0/8"])
    }

    fn within(dir: TempDir, listed: &[&str]) -> Self {
        let logs = Logs::open(&dir.path().join("logs")).unwrap();
        let staples = Staples::new(Parts {
            folder: dir.path().join("ocsp"),
            logs: logs.clone(),
            egress: Egress::new(listed.iter().map(|range| range.parse().unwrap()).collect()),
            timing: Timing {
                answer: Duration::from_secs(5),
                ..Timing::default()
            },
        });
        let tasks = Tasks::default();
        let runs = staples.clone();
        tasks.supervise("staples", move |token| {
            let staples = runs.clone();
            async move {
                staples.run(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        Self {
            dir,
            logs,
            app: AppId(Uuid::from_u128(7)),
            staples,
            tasks,
        }
    }

    async fn serve(&self, leaves: &[&Leaf]) {
        let served = leaves.iter().map(|leaf| Served {
            chain: leaf.chain.clone(),
            hosts: vec!["www.example.com".to_owned()],
            app: Some(self.app),
        });
        self.staples.serve(served.collect()).await;
    }

    fn status(&self, leaf: &Leaf) -> Status {
        self.staples.status(&leaf.chain, Timestamp::now()).unwrap()
    }

    fn staple(&self, leaf: &Leaf) -> Option<Staple> {
        self.staples.staple(&leaf.chain, Timestamp::now())
    }

    async fn stapled(&self, leaf: &Leaf) -> Staple {
        until("an answer", async || match self.status(leaf).state {
            State::Failing { why } => panic!("{why}"),
            _ => self.staple(leaf),
        })
        .await
    }

    async fn failing(&self, leaf: &Leaf) -> String {
        until("a failure", async || match self.status(leaf).state {
            State::Failing { why } => Some(why),
            State::Pending => None,
            state => panic!("{state:?}"),
        })
        .await
    }

    async fn log(&self) -> String {
        let lines = self.logs.read(self.app, &Filter::default()).await.unwrap();
        lines.iter().map(|line| line.line() + "\n").collect()
    }

    async fn end(self) -> TempDir {
        self.tasks.stop(Duration::from_secs(10)).await;
        self.dir
    }
}

#[tokio::test]
async fn an_answer_of_the_issuer_and_of_whom_it_trusts_is_taken() {
    let rig = Rig::new();
    for signer in [Signer::Issuer, Signer::Delegate] {
        let mut authority = Authority::new();
        let (one, other) = (
            authority.leaf("a.test", 0x1001, false),
            authority.leaf("b.test", 0xf002, true),
        );
        let words = [(0x1001, Word::Good), (0xf002, Word::Good)];
        authority.answer(signer, 4, &words).await;
        rig.serve(&[&one, &other]).await;
        for (leaf, must_staple) in [(&one, false), (&other, true)] {
            let staple = rig.stapled(leaf).await;
            let left = staple.until.duration_since(Timestamp::now());
            assert!(left > SignedDuration::from_hours(95), "{signer:?}: {left}");
            assert!(left <= SignedDuration::from_hours(96), "{signer:?}: {left}");
            let status = rig.status(leaf);
            assert_eq!(
                status,
                Status {
                    must_staple,
                    state: State::Good {
                        until: staple.until
                    }
                }
            );
            // Not beyond its time, whatever happens.
            let late = staple.until;
            assert_eq!(rig.staples.staple(&leaf.chain, late), None);
        }
    }
    // What is no longer served is forgotten.
    let folder = rig.dir.path().join("ocsp");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    rig.serve(&[]).await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    rig.end().await;
}

#[tokio::test]
async fn a_restart_loses_no_answer() {
    let rig = Rig::new();
    let mut authority = Authority::new();
    let leaf = authority.leaf("a.test", 1, true);
    authority
        .answer(Signer::Issuer, 1, &[(1, Word::Good)])
        .await;
    rig.serve(&[&leaf]).await;
    let staple = rig.stapled(&leaf).await;
    authority.stop().await;
    let dir = rig.end().await;
    let rig = Rig::within(dir, &["127.0.0.0/8"]);
    rig.serve(&[&leaf]).await;
    assert_eq!(rig.staple(&leaf), Some(staple));
    // Whoever looks from outside sees the same, and what somebody put there is worth nothing.
    let folder = rig.dir.path().join("ocsp");
    let now = Timestamp::now();
    let status = look(&folder, &leaf.chain, now).unwrap();
    assert!(matches!(status.state, State::Good { .. }), "{status:?}");
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(kept.path()).unwrap();
    // What is signed begins behind 34 bytes of wrapping; of what follows it, all but the signature may be anybody's.
    assert_eq!(bytes[34..36], [0x30, 0x81], "{bytes:?}");
    let end = 37 + usize::from(bytes[36]);
    for at in 0..end {
        bytes[at] ^= 1;
        std::fs::write(kept.path(), &bytes).unwrap();
        bytes[at] ^= 1;
        let status = look(&folder, &leaf.chain, now).unwrap();
        let is_seen = matches!(status.state, State::Failing { .. });
        assert!(is_seen, "byte {at}: {status:?}");
    }
    rig.end().await;
}

#[tokio::test]
async fn a_revoked_certificate_is_told_of_and_gets_no_answer() {
    let rig = Rig::new();
    let mut authority = Authority::new();
    let leaf = authority.leaf("a.test", 7, false);
    authority
        .answer(Signer::Delegate, 1, &[(7, Word::Revoked)])
        .await;
    rig.serve(&[&leaf]).await;
    let log = until("a line in the app's log", async || {
        Some(rig.log().await).filter(|log| log.contains("Warning"))
    })
    .await;
    assert!(
        log.contains(
            "Warning: www.example.com: the certificate was revoked by its authority on 2026-01-02 (its key is compromised)"
        ),
        "{log}"
    );
    assert_eq!(rig.staple(&leaf), None);
    let status = rig.status(&leaf);
    assert!(matches!(status.state, State::Revoked { .. }), "{status:?}");
    assert!(status.trouble().is_some());
    // Told once, though it is looked at again and again.
    rig.serve(&[&leaf, &authority.leaf("b.test", 8, false)])
        .await;
    assert_eq!(rig.log().await.matches("Warning").count(), 1);
    rig.end().await;
}

#[tokio::test]
async fn what_does_not_hold_is_not_given_out() {
    let mut authority = Authority::new();
    let (leaf, other) = (
        authority.leaf("a.test", 7, true),
        authority.leaf("b.test", 8, false),
    );
    for (signer, word, why) in [
        (Signer::Stranger, Word::Good, "not signed by"),
        (Signer::Issuer, Word::Unknown, "does not know"),
    ] {
        let rig = Rig::new();
        authority.answer(signer, 1, &[(7, word)]).await;
        rig.serve(&[&leaf]).await;
        let text = rig.failing(&leaf).await;
        assert!(text.contains(why), "{text}");
        assert_eq!(rig.staple(&leaf), None);
        // It has to come with an answer, so somebody is told.
        let log = until("a line in the app's log", async || {
            Some(rig.log().await).filter(|log| log.contains("must-staple"))
        })
        .await;
        assert!(log.contains(why), "{log}");
        rig.end().await;
    }
    // An answer about another certificate, which is signed as it should be.
    let rig = Rig::new();
    authority
        .answer(Signer::Issuer, 1, &[(8, Word::Good)])
        .await;
    rig.serve(&[&other]).await;
    let replayed = rig.stapled(&other).await.answer;
    let port = canned(response("200 OK", &replayed)).await.0;
    let led = authority.leaf_by(&format!("http://127.0.0.1:{port}"), "a.test", 7, false);
    rig.serve(&[&led]).await;
    let why = rig.failing(&led).await;
    assert!(why.contains("about another certificate"), "{why}");
    rig.end().await;
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Answers every request alike; tells where, and how many there were.
async fn canned(answer: Vec<u8>) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    (port, count)
}

#[tokio::test]
async fn responders_that_misbehave_are_bounded() {
    let authority = Authority::new();
    for (answer, why) in [
        (response("302 Found", b""), "HTTP status 302"),
        (
            response("500 Internal Server Error", b""),
            "HTTP status 500",
        ),
        (response("200 OK", b"nonsense"), "cannot be read"),
        (
            response("200 OK", &vec![b'x'; 100 << 10]),
            "larger than 64 KiB",
        ),
        (b"SSH-2.0-x\r\n\r\n".to_vec(), "does not speak HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
            "cut off",
        ),
        // tryLater
        (response("200 OK", &[0x30, 3, 10, 1, 3]), "asked later"),
    ] {
        let (port, count) = canned(answer).await;
        let rig = Rig::new();
        let leaf = authority.leaf_by(&format!("http://127.0.0.1:{port}"), "a.test", 7, false);
        rig.serve(&[&leaf]).await;
        let text = rig.failing(&leaf).await;
        assert!(text.contains(why), "{text}");
        assert!(count.load(Ordering::Relaxed) <= 2, "{why}");
        rig.end().await;
    }
}

#[tokio::test]
async fn whoever_names_this_host_is_not_led_there() {
    let authority = Authority::new();
    let (port, count) = canned(response("200 OK", b"")).await;
    let rig = Rig::within(tempfile::tempdir().unwrap(), &[]);
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let leaf = authority.leaf_by(&format!("http://{host}:{port}"), "a.test", 7, false);
        rig.serve(&[&leaf]).await;
        let text = rig.failing(&leaf).await;
        assert!(text.contains("--allow-egress"), "{text}");
    }
    for (address, why) in [
        ("https://ocsp.example.com", "plain HTTP"),
        ("ldap://ocsp.example.com", "plain HTTP"),
    ] {
        let leaf = authority.leaf_by(address, "a.test", 7, false);
        rig.serve(&[&leaf]).await;
        let text = rig.failing(&leaf).await;
        assert!(text.contains(why), "{text}");
    }
    // Without its issuer's certificate nobody can be asked about it.
    let leaf = authority.leaf("a.test", 7, false);
    let end = "-----END CERTIFICATE-----\n";
    let alone = Leaf {
        chain: leaf.chain.split_inclusive(end).next().unwrap().to_owned(),
        key: leaf.key,
    };
    rig.serve(&[&alone]).await;
    let text = rig.failing(&alone).await;
    assert!(
        text.contains("lacks the certificate of who issued it"),
        "{text}"
    );
    assert_eq!(count.load(Ordering::Relaxed), 0);
    rig.end().await;
}
