//! What apps ask of requests before they reach a dyno, over sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rig::*;
use ropewalk_api_types::router::{AppRoute, EdgePolicy, RateLimit, Table, ToRouter};
use ropewalk_model::edge::BasicAuth;
use ropewalk_router::{AUTHORITY_CERTIFICATE, Limits};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A table of one app with a policy, found at `app.test` and `shop.localhost`.
fn asks(policy: EdgePolicy, dyno: &Dyno) -> Table {
    let route = AppRoute {
        edge: Some(Box::new(policy)),
        ..app(&[dyno.addr])
    };
    let mut table = table(1, route);
    let target = table.hosts.values().next().unwrap().clone();
    table.hosts.insert("shop.localhost".to_owned(), target);
    table
}

/// The answer to a request over TLS.
async fn securely(rig: &Rig, server: &Server, request: &str) -> String {
    let authority = server.dir.path().join("tls").join(AUTHORITY_CERTIFICATE);
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(authority).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    let name = ServerName::try_from("shop.localhost").unwrap();
    let mut client = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut client).await
}

#[tokio::test]
async fn plain_http_is_sent_to_https_and_browsers_are_kept_there() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let dyno = Dyno::hello("safe").await;
    let policy = EdgePolicy {
        https_redirect: true,
        hsts: Some(31_536_000),
        ..EdgePolicy::default()
    };
    link.send(&ToRouter::Table(asks(policy, &dyno))).await;
    link.ack().await;

    let port = rig.addr.port();
    let host = format!("shop.localhost:{port}");
    // Nobody else is believed about how a client came.
    let request = format!(
        "GET /a?b HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    );
    let answer = rig.send(&request).await;
    assert_eq!(status(&answer), 301, "{answer}");
    let target = format!("https://shop.localhost:{port}/a?b");
    assert_eq!(header(&answer, "location"), Some(target.as_str()));
    assert_eq!(header(&answer, "strict-transport-security"), None);
    assert!(body(&answer).contains("moved to HTTPS"), "{answer}");
    let post = format!(
        "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    );
    assert_eq!(status(&rig.send(&post).await), 308);
    assert_eq!(dyno.count(), 0);
    let proof = rig.get(&host, "/.well-known/acme-challenge/x").await;
    assert_eq!((status(&proof), body(&proof)), (200, "safe"));

    let answer = securely(&rig, &server, &get(&host, "/")).await;
    assert_eq!((status(&answer), body(&answer)), (200, "safe"));
    assert_eq!(
        header(&answer, "strict-transport-security"),
        Some("max-age=31536000")
    );
    let lines = link.log(4).await;
    let line = &lines[0].text;
    assert!(
        line.starts_with(
            "at=info edge=https-redirect desc=\"Sent to HTTPS\" method=GET path=\"/a?b\" host=shop.localhost "
        ) && line.ends_with(" dyno= connect= service= status=301 bytes= protocol=http"),
        "{line}"
    );
    while link.stats.iter().all(|stats| stats.codes.is_empty()) {
        if let ropewalk_api_types::router::ToServer::Stats { apps } = link.next().await {
            link.stats.extend(apps.into_values());
        }
    }
}

#[tokio::test]
async fn where_no_https_is_spoken_nothing_is_sent_there() {
    let dyno = Dyno::hello("plain").await;
    let policy = EdgePolicy {
        https_redirect: true,
        hsts: Some(60),
        ..EdgePolicy::default()
    };
    let rig = Rig::fixed(asks(policy, &dyno), Limits::default()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!((status(&answer), body(&answer)), (200, "plain"));
    assert_eq!(header(&answer, "strict-transport-security"), None);
}

#[tokio::test]
async fn addresses_that_are_not_trusted_get_a_page() {
    let dyno = Dyno::hello("inside").await;
    let trusts = |range: &str| EdgePolicy {
        trusted_ips: vec![range.to_owned()],
        ..EdgePolicy::default()
    };
    let rig = Rig::fixed(asks(trusts("127.0.0.0/8"), &dyno), Limits::default()).await;
    assert_eq!(body(&rig.get("app.test", "/").await), "inside");
    let rig = Rig::fixed(asks(trusts("192.0.2.0/24"), &dyno), Limits::default()).await;
    // A header makes nobody trusted.
    let request = "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 192.0.2.7\r\nAccept: application/json\r\n\
                   Connection: close\r\n\r\n";
    let answer = rig.send(request).await;
    assert_eq!(status(&answer), 403, "{answer}");
    assert!(
        body(&answer).starts_with("{\"id\":\"trusted-ips\",\"message\":\""),
        "{answer}"
    );
    assert_eq!(dyno.count(), 1);
    let line = rig.log.with("status=403").await;
    let start = "at=warning edge=trusted-ips desc=\"Address not trusted\" method=GET path=\"/\" host=app.test ";
    assert!(line.starts_with(start), "{line}");
    assert!(
        line.contains("fwd=\"192.0.2.7,127.0.0.1\" dyno= "),
        "{line}"
    );
}

#[tokio::test]
async fn a_password_is_asked_for_and_goes_no_further() {
    let dyno = Dyno::hello("secret").await;
    let auth = BasicAuth::new("dev", "hunter2hunter2", [5; 16]).unwrap();
    let policy = EdgePolicy {
        basic_auth: Some(auth.kept().into()),
        ..EdgePolicy::default()
    };
    let rig = Rig::fixed(asks(policy, &dyno), Limits::default()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 401, "{answer}");
    assert_eq!(
        header(&answer, "www-authenticate"),
        Some("Basic realm=\"This application\", charset=\"UTF-8\"")
    );
    // dev:hunter2hunter2
    let request = "GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Basic ZGV2Omh1bnRlcjJodW50ZXIy\r\n\
                   Connection: close\r\n\r\n";
    let answer = rig.send(request).await;
    assert_eq!((status(&answer), body(&answer)), (200, "secret"));
    assert_eq!(header(&dyno.last_head(), "authorization"), None);
    rig.log.with("status=200").await;
    let lines = rig.log.lines().join("\n");
    let asked = "at=info edge=basic-auth desc=\"User and password asked for\"";
    assert!(lines.contains(asked), "{lines}");
    assert!(!lines.contains("ZGV2"), "{lines}");
}

#[tokio::test]
async fn an_address_that_comes_too_often_is_told_to_wait() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let dyno = Dyno::hello("busy").await;
    let policy = EdgePolicy {
        rate_limit: Some(RateLimit {
            requests: 1,
            seconds: 3_600,
            burst: 2,
        }),
        ..EdgePolicy::default()
    };
    link.apply(asks(policy.clone(), &dyno)).await;
    for _ in 0..2 {
        assert_eq!(status(&rig.get("app.test", "/").await), 200);
    }
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 429, "{answer}");
    let wait: u64 = header(&answer, "retry-after").unwrap().parse().unwrap();
    assert!((3_590..=3_600).contains(&wait), "{wait}");
    // What was spent is remembered when the table changes.
    let mut table = asks(policy, &dyno);
    table.generation = 2;
    link.apply(table).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 429);
    assert_eq!(dyno.count(), 2);
    let lines = link.log(4).await;
    let start =
        "at=warning edge=rate-limit desc=\"Too many requests from this address\" method=GET ";
    assert!(lines[2].text.starts_with(start), "{:?}", lines[2]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_or_on_its_way() {
    // Reads requests whose body comes in chunks; one that is not whole is not answered.
    let whole = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&whole);
    let addr = raw_dyno(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            let mut text = String::new();
            let mut chunk = [0; 4096];
            while !text.ends_with("0\r\n\r\n") {
                match stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => text.push_str(&String::from_utf8_lossy(&chunk[..count])),
                }
            }
            counted.fetch_add(1, SeqCst);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let policy = EdgePolicy {
        max_body: Some(10),
        ..EdgePolicy::default()
    };
    let route = AppRoute {
        edge: Some(Box::new(policy)),
        ..app(&[addr])
    };
    let rig = Rig::fixed(table(1, route), Limits::default()).await;
    let head = "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n";
    let answer = rig
        .send(&format!("{head}Content-Length: 11\r\n\r\nhello hello"))
        .await;
    assert_eq!(status(&answer), 413, "{answer}");
    let line = rig.log.with("edge=max-body").await;
    let start = "at=warning edge=max-body desc=\"Request too large\" method=POST ";
    assert!(line.starts_with(start), "{line}");
    assert!(
        line.contains("dyno= connect= service= status=413"),
        "{line}"
    );

    let chunked =
        |chunks: &str| format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    let answer = rig.send(&chunked("5\r\nhello\r\n5\r\nhello\r\n")).await;
    assert_eq!((status(&answer), body(&answer)), (200, "whole"));
    let answer = rig.send(&chunked("5\r\nhello\r\n6\r\n hello\r\n")).await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert_eq!(whole.load(SeqCst), 1);
    until("the line of what was refused on its way", || {
        let lines = rig.log.lines();
        lines
            .into_iter()
            .find(|line| line.contains("edge=max-body") && line.contains(" dyno=web.1 "))
    })
    .await;
}

#[tokio::test]
async fn paused_requests_wait_and_all_pass_when_it_ends() {
    let server = Server::new();
    let rig = Arc::new(Rig::local(&server, Limits::default()));
    let mut link = server.rise().await;
    let dyno = Dyno::hello("moved").await;
    let pause = EdgePolicy {
        pause: true,
        ..EdgePolicy::default()
    };
    link.apply(asks(pause, &dyno)).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.get("app.test", "/").await })
        })
        .collect();
    until("three requests that wait", || {
        (rig.counters.snapshot().in_flight == 3).then_some(())
    })
    .await;
    assert_eq!(dyno.count(), 0);
    let mut open = asks(EdgePolicy::default(), &dyno);
    open.generation = 2;
    link.apply(open).await;
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!((status(&answer), body(&answer)), (200, "moved"));
    }
    assert_eq!(dyno.count(), 3);
}

#[tokio::test]
async fn a_pause_has_an_end() {
    let dyno = Dyno::hello("x").await;
    let pause = EdgePolicy {
        pause: true,
        ..EdgePolicy::default()
    };
    let limits = Limits {
        boot: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = Rig::fixed(asks(pause, &dyno), limits).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 503);
    rig.log.with("code=H20").await;
    assert_eq!(dyno.count(), 0);
}
