//! A proxy in front that says by the PROXY protocol who its clients are.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rig::*;
use ropewalk_router::{Config, Limits, Listeners, Source, TlsFiles};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 444\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x09\xdc\x04\x01\xbc";
const OWN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn files() -> TlsFiles {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    TlsFiles {
        cert: fixtures.join("localhost.pem"),
        key: fixtures.join("localhost.key"),
    }
}

/// A router in front of `dyno` that listens to proxies at `from`; the second address is for TLS.
fn proxied(dyno: SocketAddr, from: &str, limits: Limits) -> (Rig, SocketAddr) {
    let listeners = Listeners::bind(&[ANY], &[ANY]).unwrap();
    let addr = listeners.plain[0].local_addr().unwrap();
    let tls = listeners.tls[0].local_addr().unwrap();
    let log = Log::default();
    let config = Config {
        source: Source::Fixed {
            table: table(1, app(&[dyno])),
            log: Some(Box::new(log.clone())),
        },
        tls: Some(files()),
        local_authority: None,
        proxies: vec!["192.0.2.200".parse().unwrap(), from.parse().unwrap()],
        limits,
        counters: Arc::default(),
    };
    (Rig::with(config, log, listeners, addr), tls)
}

async fn over_tls(mut stream: TcpStream, start: &[u8]) -> String {
    stream.write_all(start).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(files().cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("app.test").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    read_all(&mut stream).await
}

#[tokio::test]
async fn the_client_is_who_the_proxy_says() {
    let dyno = Dyno::hello("hello").await;
    let (rig, tls) = proxied(dyno.addr, "127.0.0.0/8", Limits::default());
    for (header_, client, port) in [
        (LINE, "192.0.2.1", "444"),
        (BINARY, "192.0.2.1", "444"),
        (OWN, "127.0.0.1", ""),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1", ""),
    ] {
        // In one piece with the request, and byte by byte.
        for pieces in [usize::MAX, 1] {
            let mut stream = TcpStream::connect(rig.addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let all = [header_, get("app.test", "/").as_bytes()].concat();
            for piece in all.chunks(pieces.min(all.len())) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(body(&read_all(&mut stream).await), "hello");
            let head = dyno.last_head();
            assert_eq!(header(&head, "x-forwarded-for"), Some(client));
            assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
            let own = rig.addr.port().to_string();
            let port = if port.is_empty() { &own } else { port };
            assert_eq!(header(&head, "x-forwarded-port"), Some(port));
            rig.log.with(&format!("fwd=\"{client}\"")).await;
        }
        let stream = TcpStream::connect(tls).await.unwrap();
        assert_eq!(body(&over_tls(stream, header_).await), "hello");
        let head = dyno.last_head();
        assert_eq!(header(&head, "x-forwarded-for"), Some(client));
        assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    }
}

#[tokio::test]
async fn http_2_has_the_client_too() {
    let dyno = Dyno::hello("hello").await;
    let (rig, _) = proxied(dyno.addr, "127.0.0.1", Limits::default());
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    stream.write_all(BINARY).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::get("http://app.test/").body(()).unwrap();
    let (response, _) = requests.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(
        header(&dyno.last_head(), "x-forwarded-for"),
        Some("192.0.2.1")
    );
    driver.abort();
}

#[tokio::test]
async fn who_is_not_trusted_is_not_listened_to() {
    let dyno = Dyno::hello("hello").await;
    let (rig, tls) = proxied(dyno.addr, "192.0.2.0/24", Limits::default());
    assert_eq!(body(&rig.get("app.test", "/").await), "hello");
    assert_eq!(
        header(&dyno.last_head(), "x-forwarded-for"),
        Some("127.0.0.1")
    );
    let stream = TcpStream::connect(tls).await.unwrap();
    assert_eq!(body(&over_tls(stream, b"").await), "hello");
    // It is a request that makes no sense.
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    stream
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    assert_eq!(status(&read_all(&mut stream).await), 400);
    assert_eq!(dyno.count(), 2);
}

#[tokio::test]
async fn a_proxy_that_says_nothing_right_is_hung_up_on() {
    let dyno = Dyno::hello("never asked").await;
    let limits = Limits {
        handshake: Duration::from_millis(100),
        ..Limits::default()
    };
    let (rig, tls) = proxied(dyno.addr, "127.0.0.1", limits);
    for addr in [rig.addr, tls] {
        for start in [
            get("app.test", "/").as_bytes(),
            b"PROXY TCP4 nobody\r\n",
            // Never to be whole.
            b"",
            b"PROXY TCP4 192.0.2.1",
            &BINARY[..20],
        ] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(start).await.unwrap();
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
            // With a reset where bytes were left unread.
            let _ = ended.unwrap();
            assert!(rest.is_empty(), "{start:?}");
        }
    }
    assert_eq!(dyno.count(), 0);
    until("all of them gone", || {
        (rig.counters.snapshot().open_connections == 0).then_some(())
    })
    .await;
}
