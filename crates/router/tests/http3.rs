//! HTTP/3 as a client of another's making sees it, over real packets.

#![allow(clippy::unwrap_used)] // support code of tests

mod rig;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderMap, Method, Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rig::{
    ANY, DEADLINE, Dyno, Log, Rig, Server, app, dead, raw_dyno, read_head, read_until, table, until,
};
use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{Certificate, Certificates, Table, Target, ToRouter};
use ropewalk_router::{Config, Counters, Limits, Listeners, RouterError, Source, Stop, TlsFiles};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;
use tokio::time::timeout;

type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// A certificate of its own authority.
struct Identity {
    der: CertificateDer<'static>,
    chain: String,
    key: String,
}

fn identity(hosts: &[&str]) -> Identity {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    Identity {
        der: made.cert.der().clone(),
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

impl Identity {
    fn files(&self, folder: &Path) -> TlsFiles {
        let files = TlsFiles {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.cert, &self.chain).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
        files
    }

    fn endpoint(&self, hosts: &[&str]) -> Certificate {
        Certificate {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            chain: self.chain.clone(),
            key: Secret(self.key.clone()),
            staple: None,
        }
    }
}

/// A router of a fixed table that takes HTTP/3 and TLS.
struct Quic {
    rig: Rig,
    addr: SocketAddr,
    identity: Identity,
    _folder: TempDir,
}

impl Quic {
    fn start(table: Table, limits: Limits) -> Quic {
        let folder = tempfile::tempdir().unwrap();
        let identity = identity(&["app.test", "other.test"]);
        let mut listeners = Listeners::bind(&[], &[ANY]).unwrap();
        listeners.bind_quic(&[ANY]).unwrap();
        let addr = listeners.quic[0].local_addr().unwrap();
        let tls = listeners.tls[0].local_addr().unwrap();
        let log = Log::default();
        let source = Source::Fixed {
            table,
            log: Some(Box::new(log.clone())),
        };
        let files = identity.files(folder.path());
        Quic {
            rig: Rig::run(source, limits, log, listeners, Some(files), tls),
            addr,
            identity,
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(self.addr, "app.test", &[&self.identity])
            .await
            .unwrap()
    }
}

/// A client's connection.
struct Client {
    requests: SendRequest<OpenStreams, Bytes>,
    connection: quinn::Connection,
    driver: JoinHandle<h3::error::ConnectionError>,
    _endpoint: Endpoint,
}

impl Client {
    async fn connect(
        addr: SocketAddr,
        name: &str,
        trusted: &[&Identity],
    ) -> Result<Client, Box<dyn std::error::Error>> {
        let mut roots = rustls::RootCertStore::empty();
        for identity in trusted {
            roots.add(identity.der.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h3".to_vec()];
        let crypto = QuicClientConfig::try_from(config).unwrap();
        let mut endpoint = Endpoint::client(ANY).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(addr, name).unwrap();
        let connection = timeout(DEADLINE, connecting).await??;
        let (mut driver, requests) =
            h3::client::new(h3_quinn::Connection::new(connection.clone())).await?;
        Ok(Client {
            requests,
            connection,
            driver: tokio::spawn(
                async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await },
            ),
            _endpoint: endpoint,
        })
    }

    async fn begin(&mut self, request: Request<()>) -> Stream {
        let sent = timeout(DEADLINE, self.requests.send_request(request));
        sent.await.unwrap().unwrap()
    }

    async fn ask(&mut self, request: Request<()>) -> Reply {
        let mut stream = self.begin(request).await;
        stream.finish().await.unwrap();
        reply(stream).await
    }

    async fn get(&mut self, host: &str, path: &str) -> Reply {
        self.ask(request(Method::GET, host, path)).await
    }
}

struct Reply {
    head: Response<()>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn reply(mut stream: Stream) -> Reply {
    let read = async {
        let head = stream.recv_response().await.unwrap();
        let mut body = Vec::new();
        while let Some(mut data) = stream.recv_data().await.unwrap() {
            body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        let trailers = stream.recv_trailers().await.unwrap();
        Reply {
            head,
            body,
            trailers,
        }
    };
    timeout(DEADLINE, read).await.unwrap()
}

fn request(method: Method, host: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("https://{host}{path}"))
        .body(())
        .unwrap()
}

/// A dyno that answers with what it was sent, however long, chunk by chunk, and its trailers.
async fn echo() -> SocketAddr {
    raw_dyno(|stream| async move {
        let (from, mut to) = stream.into_split();
        let mut from = BufReader::new(from);
        let Some(_) = read_head(&mut from).await else {
            return;
        };
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n";
        to.write_all(head.as_bytes()).await.unwrap();
        // What is sent in chunks is answered in the same.
        let mut last = Vec::new();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut bytes).await.unwrap_or(0);
            if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
            last.extend_from_slice(&bytes[..count]);
            let keep = last.len().saturating_sub(512);
            last.drain(..keep);
            if last.ends_with(b"\r\n\r\n") {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_request_takes_the_path_of_all_others() {
    let dyno = Dyno::hello("hello").await;
    let quic = Quic::start(table(1, app(&[dyno.addr])), Limits::default());
    let mut client = quic.client().await;
    let reply = client.get("app.test", "/a?b=c").await;
    assert_eq!((reply.status(), reply.text()), (200, "hello"));
    assert_eq!(reply.header("via"), Some("1.1 ropewalk"));
    assert!(
        reply
            .header("date")
            .is_some_and(|date| date.ends_with(" GMT"))
    );
    let head = dyno.last_head();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", "app.test"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", &quic.addr.port().to_string()),
    ] {
        assert_eq!(rig::header(&head, name), Some(value), "{name}");
    }
    // It has no body, and the dyno need not ask.
    assert_eq!(rig::header(&head, "transfer-encoding"), None);

    let reply = client.ask(request(Method::HEAD, "nobody.test", "/")).await;
    assert_eq!((reply.status(), reply.body.len()), (404, 0));
    let reply = client.get("nobody.test", "/").await;
    assert_eq!(reply.status(), 404);
    assert!(reply.text().contains("No such app"));

    let mut crumbs = request(Method::GET, "app.test", "/crumbs");
    for crumb in ["a=1", "b=2"] {
        let crumb = crumb.parse().unwrap();
        crumbs.headers_mut().append("cookie", crumb);
    }
    client.ask(crumbs).await;
    assert_eq!(rig::header(&dyno.last_head(), "cookie"), Some("a=1; b=2"));

    let line = quic.rig.log.with("path=\"/a?b=c\"").await;
    for part in [
        "at=info method=GET",
        "host=app.test",
        "fwd=\"127.0.0.1\"",
        "dyno=web.1",
        "status=200 bytes=5 protocol=https",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 160;
    let quic = Quic::start(table(1, app(&[echo().await])), Limits::default());
    let mut client = quic.client().await;
    let mut post = request(Method::POST, "app.test", "/");
    post.headers_mut().insert("te", "trailers".parse().unwrap());
    post.headers_mut()
        .insert("trailer", "x-sum".parse().unwrap());
    let stream = client.begin(post).await;
    let (mut to, mut from) = stream.split();
    // What is sent comes back while more is sent: nobody holds 10 MiB.
    let sending = tokio::spawn(async move {
        for index in 0..CHUNKS {
            let chunk = Bytes::from(vec![b'a' + (index % 26) as u8; CHUNK]);
            to.send_data(chunk).await.unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        to.send_trailers(trailers).await.unwrap();
        to.finish().await.unwrap();
    });
    let read = async {
        assert_eq!(from.recv_response().await.unwrap().status(), 200);
        let mut all = BytesMut::new();
        while let Some(data) = from.recv_data().await.unwrap() {
            all.extend_from_slice(data.chunk());
        }
        assert_eq!(all.len(), CHUNK * CHUNKS);
        for (index, chunk) in all.chunks(CHUNK).enumerate() {
            assert!(chunk.iter().all(|byte| *byte == b'a' + (index % 26) as u8));
        }
        from.recv_trailers().await.unwrap()
    };
    let trailers = timeout(DEADLINE, read).await.unwrap();
    sending.await.unwrap();
    // To a dyno of HTTP/1.1 they go where the request announces them (RFC 9110, 6.5.1).
    assert_eq!(trailers.unwrap()["x-sum"], "42");
}

#[tokio::test]
async fn trailers_of_an_answer_pass() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        while read_head(&mut stream).await.is_some() {
            let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
                        2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n";
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await;
    let quic = Quic::start(table(1, app(&[dyno])), Limits::default());
    let mut client = quic.client().await;
    let reply = client.get("app.test", "/").await;
    assert_eq!(reply.text(), "ok");
    assert_eq!(reply.trailers.unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let dyno = Dyno::hello("hello").await;
    let quic = Quic::start(table(1, app(&[dyno.addr])), Limits::default());
    let client = quic.client().await;
    let mut asked = tokio::task::JoinSet::new();
    for index in 0..300 {
        let mut requests = client.requests.clone();
        asked.spawn(async move {
            let request = request(Method::GET, "app.test", &format!("/{index}"));
            let mut stream = requests.send_request(request).await.unwrap();
            stream.finish().await.unwrap();
            reply(stream).await.status()
        });
    }
    while let Some(status) = asked.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(dyno.count(), 300);
    let connections = quic.rig.counters.snapshot().connections;
    assert_eq!(connections, 1, "all over one");
}

#[tokio::test]
async fn failures_have_their_codes() {
    let quic = Quic::start(table(1, app(&[dead().await])), Limits::default());
    let mut client = quic.client().await;
    let mut asking = request(Method::GET, "app.test", "/");
    let json = "application/json".parse().unwrap();
    asking.headers_mut().insert("accept", json);
    let reply = client.ask(asking).await;
    assert_eq!(reply.status(), 503);
    assert!(reply.text().contains("\"H21\""), "{}", reply.text());
    let length = reply.body.len().to_string();
    assert_eq!(reply.header("content-length"), Some(length.as_str()));
    quic.rig.log.with("code=H21").await;
}

#[tokio::test]
async fn a_malformed_request_ends_its_stream_alone() {
    let dyno = Dyno::hello("hello").await;
    let quic = Quic::start(table(1, app(&[dyno.addr])), Limits::default());
    let mut client = quic.client().await;
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
        ("content-length", "+5"),
    ] {
        let mut asking = request(Method::POST, "app.test", "/");
        asking.headers_mut().insert(name, value.parse().unwrap());
        let mut stream = client.begin(asking).await;
        let _ = stream.finish().await;
        let answer = timeout(DEADLINE, stream.recv_response()).await.unwrap();
        let error = answer.expect_err(name).to_string();
        assert!(error.contains("H3_MESSAGE_ERROR"), "{name}: {error}");
    }
    // Less and more than was said.
    for length in ["9", "3"] {
        let mut asking = request(Method::POST, "app.test", "/");
        let length = length.parse().unwrap();
        asking.headers_mut().insert("content-length", length);
        let mut stream = client.begin(asking).await;
        stream.send_data(Bytes::from_static(b"four")).await.unwrap();
        let _ = stream.finish().await;
        let answer = timeout(DEADLINE, stream.recv_response()).await.unwrap();
        assert!(answer.is_err() || answer.unwrap().status() != 200);
    }
    assert_eq!(dyno.count(), 0);
    assert_eq!(client.get("app.test", "/").await.status(), 200);
}

#[tokio::test]
async fn too_long_a_head_is_refused_and_a_longer_one_is_not_even_read() {
    let dyno = Dyno::hello("hello").await;
    let limits = Limits {
        head: 4 * 1024,
        ..Limits::default()
    };
    let quic = Quic::start(table(1, app(&[dyno.addr])), limits);
    let mut client = quic.client().await;
    let long = |length: usize| {
        let mut asking = request(Method::GET, "app.test", "/");
        let value = "x".repeat(length).parse().unwrap();
        asking.headers_mut().insert("x-long", value);
        asking
    };
    // The client keeps to the limit that it is told, once it is told.
    let mut stream = client.begin(long(1_000)).await;
    stream.finish().await.unwrap();
    assert_eq!(reply(stream).await.status(), 200);
    let told = until_told(&mut client, long(5_000)).await;
    assert!(told.contains("4096"), "{told}");

    let raw = quic.client().await;
    let long = |length: usize| {
        let head = [HEAD, &[("x-long", "x")]].concat();
        let mut fields = section(&head);
        // The last value, made longer.
        fields.truncate(fields.len() - 2);
        prefixed(&mut fields, 0x7f, 0, length);
        fields.resize(fields.len() + length, b'y');
        fields
    };
    let bytes = say(&raw, long(5_000)).await.unwrap();
    // 431, plain or in Huffman's code.
    let is_there = bytes
        .windows(3)
        .any(|three| three == b"431" || three == [0x69, 0x90, 0xff]);
    assert!(is_there, "{bytes:x?}");
    let error = say(&raw, long(1 << 20)).await.unwrap_err();
    assert!(error.contains("263"), "not H3_EXCESSIVE_LOAD: {error}");
    assert_eq!(say(&raw, section(HEAD)).await.map(|_| ()), Ok(()));
    assert_eq!(dyno.count(), 2);
}

/// The error with which the client's library refuses to send.
async fn until_told(client: &mut Client, request: Request<()>) -> String {
    match client.requests.send_request(request).await {
        Ok(_) => "sent".to_owned(),
        Err(error) => error.to_string(),
    }
}

const HEAD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "app.test"),
    (":path", "/"),
];

/// A field section as no library would write it: every line in plain words (RFC 9204, 4.5.6).
fn section(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![0, 0];
    for (name, value) in lines {
        prefixed(&mut fields, 0x07, 0x20, name.len());
        fields.extend(name.as_bytes());
        prefixed(&mut fields, 0x7f, 0, value.len());
        fields.extend(value.as_bytes());
    }
    fields
}

/// Sends a section as a request; the bytes of the answer, or why there is none.
async fn say(client: &Client, fields: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut frame = vec![1];
    frame.extend((0x8000_0000_u32 | fields.len() as u32).to_be_bytes());
    frame.extend(fields);
    let (mut to, mut from) = client.connection.open_bi().await.unwrap();
    // Whoever is refused need not have sent all.
    let _ = timeout(DEADLINE, to.write_all(&frame)).await.unwrap();
    let _ = to.finish();
    let read = timeout(DEADLINE, from.read_to_end(1 << 16)).await.unwrap();
    read.map_err(|error| format!("{error:?}"))
}

/// An integer with a prefix (RFC 7541, 5.1).
fn prefixed(out: &mut Vec<u8>, mask: u8, flags: u8, value: usize) {
    let most = usize::from(mask);
    if value < most {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | mask);
    let mut rest = value - most;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

#[tokio::test]
async fn a_head_that_could_be_read_in_two_ways_is_not_passed_on() {
    let dyno = Dyno::hello("hello").await;
    let quic = Quic::start(table(1, app(&[dyno.addr])), Limits::default());
    let client = quic.client().await;
    let with = |line: (&'static str, &'static str)| [HEAD, &[line]].concat();
    let without = |name: &str| {
        let mut head = HEAD.to_vec();
        head.retain(|line| line.0 != name);
        head
    };
    for head in [
        with(("host", "other.test")),
        with(("Upper-Case", "1")),
        with(("x y", "1")),
        with(("x", "1\r\nx-two: 2")),
        with(("x", "1\0")),
        with((":unknown", "1")),
        with((":protocol", "websocket")),
        with(("content-length", "1, 1")),
        with(("upgrade", "websocket")),
        without(":method"),
        without(":scheme"),
        without(":authority"),
        without(":path"),
    ] {
        let error = say(&client, section(&head)).await;
        // H3_MESSAGE_ERROR
        assert!(
            error.as_ref().is_err_and(|error| error.contains("270")),
            "{head:?}: {error:?}"
        );
    }
    assert_eq!(dyno.count(), 0);
    // The library takes the last of two: what the dyno sees has one meaning.
    let twice = with((":path", "/two"));
    assert!(say(&client, section(&twice)).await.is_ok());
    let head = dyno.last_head();
    assert!(head.starts_with("GET /two HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("\r\n:"), "{head}");
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_ends_it_at_the_dyno() {
    let gone = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&gone);
    let dyno = raw_dyno(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            // Until the router closes.
            let mut bytes = [0; 1024];
            while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
            counted.fetch_add(1, SeqCst);
        }
    })
    .await;
    let quic = Quic::start(table(1, app(&[dyno])), Limits::default());
    let mut client = quic.client().await;
    // In the middle of a body.
    let mut stream = client.begin(request(Method::POST, "app.test", "/up")).await;
    stream.send_data(Bytes::from_static(b"half")).await.unwrap();
    until("the dyno's request", || {
        (quic.rig.counters.snapshot().connects == 1).then_some(())
    })
    .await;
    stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    drop(stream);
    until("the end at the dyno", || {
        (gone.load(SeqCst) == 1).then_some(())
    })
    .await;
    quic.rig.log.with("path=\"/up\"").await;
    // While it waits for the answer.
    let mut stream = client
        .begin(request(Method::GET, "app.test", "/wait"))
        .await;
    stream.finish().await.unwrap();
    until("the dyno's request", || {
        (quic.rig.counters.snapshot().connects == 2).then_some(())
    })
    .await;
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    let line = quic.rig.log.with("path=\"/wait\"").await;
    assert!(line.contains("code=H27"), "{line}");
    until("the end at the dyno", || {
        (gone.load(SeqCst) == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let dyno = raw_dyno(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await;
    let quic = Quic::start(table(1, app(&[dyno])), Limits::default());
    let mut client = quic.client().await;
    let mut stream = client.begin(request(Method::GET, "app.test", "/")).await;
    stream.finish().await.unwrap();
    let read = async {
        stream.recv_response().await?;
        while stream.recv_data().await?.is_some() {}
        Ok::<_, h3::error::StreamError>(())
    };
    let error = timeout(DEADLINE, read).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("H3_INTERNAL_ERROR"), "{error}");
    quic.rig.log.with("code=H18").await;
}

#[tokio::test]
async fn clients_of_tls_are_told_of_it_and_others_are_not() {
    let dyno = Dyno::hello("hello").await;
    let quic = Quic::start(table(1, app(&[dyno.addr])), Limits::default());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(quic.identity.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(quic.rig.addr).await.unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("app.test".try_into().unwrap(), stream)
        .await
        .unwrap();
    let get = rig::get("app.test", "/");
    stream.write_all(get.as_bytes()).await.unwrap();
    let answer = rig::read_all(&mut stream).await;
    let told = format!("h3=\":{}\"; ma=3600", quic.addr.port());
    assert_eq!(rig::header(&answer, "alt-svc"), Some(told.as_str()));

    let plain = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let answer = plain.get("app.test", "/").await;
    assert_eq!(rig::header(&answer, "alt-svc"), None);
}

/// A router of the server's that takes HTTP/3.
fn linked(server: &Server) -> (Rig, SocketAddr) {
    let mut listeners = Listeners::bind(&[ANY], &[]).unwrap();
    listeners.bind_quic(&[ANY]).unwrap();
    let addr = listeners.quic[0].local_addr().unwrap();
    let plain = listeners.plain[0].local_addr().unwrap();
    let source = Source::Link {
        socket: server.socket.clone(),
        table_file: server.table_file.clone(),
        certificates_file: server.certificates_file.clone(),
    };
    let rig = Rig::run(
        source,
        Limits::default(),
        Log::default(),
        listeners,
        None,
        plain,
    );
    (rig, addr)
}

#[tokio::test]
async fn a_certificate_counts_for_its_hosts_and_can_be_changed() {
    let server = Server::new();
    let (rig, addr) = linked(&server);
    let mut link = server.rise().await;
    let dyno = Dyno::hello("hello").await;
    let mut all = table(1, app(&[dyno.addr]));
    let other = Target::App {
        app: "other-id".to_owned(),
    };
    all.hosts.insert("other.test".to_owned(), other);
    all.apps.insert("other-id".to_owned(), app(&[dyno.addr]));
    link.send(&ToRouter::Table(all)).await;
    link.ack().await;
    let (own, others) = (identity(&["app.test"]), identity(&["other.test"]));
    let send = |generation, endpoints| {
        ToRouter::Certificates(Certificates {
            generation,
            own: None,
            endpoints,
            challenges: Vec::new(),
        })
    };
    let both = vec![
        own.endpoint(&["app.test"]),
        others.endpoint(&["other.test"]),
    ];
    link.send(&send(1, both)).await;
    assert_eq!(link.certified().await, 1);

    let mut client = Client::connect(addr, "app.test", &[&own]).await.unwrap();
    assert_eq!(client.get("app.test", "/").await.status(), 200);
    assert_eq!(client.get("other.test", "/").await.status(), 421);
    let mut there = Client::connect(addr, "other.test", &[&others])
        .await
        .unwrap();
    assert_eq!(there.get("other.test", "/").await.status(), 200);
    assert!(Client::connect(addr, "none.test", &[&own]).await.is_err());

    let new = identity(&["app.test"]);
    let both = vec![
        new.endpoint(&["app.test"]),
        others.endpoint(&["other.test"]),
    ];
    link.send(&send(2, both)).await;
    assert_eq!(link.certified().await, 2);
    // Who is there stays; who comes sees the new one.
    assert_eq!(client.get("app.test", "/").await.status(), 200);
    assert!(Client::connect(addr, "app.test", &[&own]).await.is_err());
    let mut fresh = Client::connect(addr, "app.test", &[&new]).await.unwrap();
    assert_eq!(fresh.get("app.test", "/").await.status(), 200);
    drop(rig);
}

#[tokio::test]
async fn a_router_that_stops_answers_what_it_has_and_says_goodbye() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let dyno = raw_dyno(move |mut stream| {
        let mut gone = gone.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            gone.wait_for(|gone| *gone).await.unwrap();
            let text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast";
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await;
    let mut quic = Quic::start(table(1, app(&[dyno])), Limits::default());
    let (mut client, idle) = (quic.client().await, quic.client().await);
    let mut stream = client.begin(request(Method::GET, "app.test", "/")).await;
    stream.finish().await.unwrap();
    until("the dyno's request", || {
        (quic.rig.counters.snapshot().connects == 1).then_some(())
    })
    .await;
    drop(quic.rig.stop.take());
    // Who has nothing open is let go at once, and in order.
    let goodbye = timeout(DEADLINE, idle.connection.closed()).await.unwrap();
    let text = format!("{goodbye:?}");
    assert!(
        text.contains("ApplicationClose") && text.contains("256"),
        "{text}"
    );
    assert!(!client.driver.is_finished());
    let refused = timeout(DEADLINE, async {
        // Once the goodbye has come, the client's library sends nothing more.
        loop {
            match client
                .requests
                .send_request(request(Method::GET, "app.test", "/late"))
                .await
            {
                Err(error) => return error.to_string(),
                Ok(mut late) => {
                    if let Err(error) = late.recv_response().await {
                        let error = error.to_string();
                        assert!(error.contains("H3_REQUEST_REJECTED"), "{error}");
                    }
                }
            }
        }
    });
    refused.await.unwrap();
    go.send_replace(true);
    let last = reply(stream).await;
    assert_eq!((last.status(), last.text()), (200, "last"));
    timeout(DEADLINE, &mut quic.rig.done)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_router_that_is_replaced_passes_its_socket_on() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let dyno = raw_dyno(move |mut stream| {
        let mut gone = gone.clone();
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            if head.contains("/endless") {
                std::future::pending::<()>().await;
            }
            if head.contains("/slow") {
                gone.wait_for(|gone| *gone).await.unwrap();
            }
            let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let identity = identity(&["app.test"]);
    let files = identity.files(folder.path());
    let config = || Config {
        source: Source::Fixed {
            table: table(1, app(&[dyno])),
            log: None,
        },
        tls: Some(files.clone()),
        local_authority: None,
        proxies: Vec::new(),
        limits: Limits::default(),
        counters: Arc::<Counters>::default(),
    };
    let mut listeners = Listeners::default();
    listeners.bind_quic(&[ANY]).unwrap();
    let addr = listeners.quic[0].local_addr().unwrap();
    let handed_over = listeners.try_clone().unwrap();
    let old = ropewalk_router::start(config(), listeners).await.unwrap();
    let connect = async || {
        Client::connect(addr, "app.test", &[&identity])
            .await
            .unwrap()
    };
    let (mut busy, mut idle) = (connect().await, connect().await);
    assert_eq!(idle.get("app.test", "/").await.status(), 200);
    let slow = request(Method::GET, "app.test", "/slow");
    let mut stream = busy.begin(slow).await;
    stream.finish().await.unwrap();
    let mut busier = connect().await;
    let mut endless = busier
        .begin(request(Method::GET, "app.test", "/endless"))
        .await;
    endless.finish().await.unwrap();
    assert_eq!(busier.get("app.test", "/").await.status(), 200);
    // Before the router is: its answer shows that the one before has come too.
    assert_eq!(busy.get("app.test", "/").await.status(), 200);

    let new = ropewalk_router::start(config(), handed_over).await.unwrap();
    let old = tokio::spawn(old.until(async { Stop::Succeeded }));
    timeout(DEADLINE, idle.connection.closed()).await.unwrap();
    go.send_replace(true);
    assert_eq!(reply(stream).await.text(), "ok");
    // Not even an answer that does not end keeps the old one at the socket.
    let error = timeout(DEADLINE, endless.recv_response()).await.unwrap();
    assert!(error.is_err());
    timeout(DEADLINE, old).await.unwrap().unwrap();
    assert_eq!(connect().await.get("app.test", "/").await.status(), 200);
    drop(new);
}

#[tokio::test]
async fn many_who_only_knock_make_the_next_show_their_address() {
    let dyno = Dyno::hello("hello").await;
    let limits = Limits {
        handshake: 2 * DEADLINE,
        ..Limits::default()
    };
    let quic = Quic::start(table(1, app(&[dyno.addr])), limits);
    let knocks = tokio::net::UdpSocket::bind(ANY).await.unwrap();
    let (mut sent, mut received) = (0, 0);
    let mut packet = [0; 2048];
    for index in 0..70_u64 {
        // The first packet of a client, caught by somebody who is no server.
        let nobody = tokio::net::UdpSocket::bind(ANY).await.unwrap();
        let to = nobody.local_addr().unwrap();
        let knocking = tokio::spawn(async move {
            let _ = Client::connect(to, "app.test", &[]).await;
        });
        let (count, _) = timeout(DEADLINE, nobody.recv_from(&mut packet))
            .await
            .unwrap()
            .unwrap();
        knocking.abort();
        sent += knocks.send_to(&packet[..count], quic.addr).await.unwrap();
        if index < 64 {
            until("one more who knocks", || {
                (quic.rig.counters.snapshot().open_connections > index).then_some(())
            })
            .await;
        } else {
            // Asked to show its address by a long header of the kind Retry (RFC 9000, 17.2.5), among what the others get.
            loop {
                let count = timeout(DEADLINE, knocks.recv(&mut packet)).await;
                received += count.unwrap().unwrap();
                if packet[0] & 0xf0 == 0xf0 {
                    break;
                }
            }
        }
        while let Ok(count) = knocks.try_recv(&mut packet) {
            received += count;
        }
    }
    let mut client = quic.client().await;
    assert_eq!(client.get("app.test", "/").await.status(), 200);
    assert!(received <= 3 * sent, "{received} for {sent}");
    assert_eq!(quic.rig.counters.snapshot().open_connections, 65);
}

#[tokio::test]
async fn without_a_certificate_or_behind_a_proxy_there_is_no_http3() {
    let config = |tls, proxies| Config {
        source: Source::Fixed {
            table: Table {
                hosts: BTreeMap::new(),
                ..Table::default()
            },
            log: None,
        },
        tls,
        local_authority: None,
        proxies,
        limits: Limits::default(),
        counters: Arc::<Counters>::default(),
    };
    let listeners = || {
        let mut listeners = Listeners::default();
        listeners.bind_quic(&[ANY]).unwrap();
        let addr = listeners.quic[0].local_addr().unwrap();
        (listeners, addr)
    };
    let started = ropewalk_router::start(config(None, Vec::new()), listeners().0).await;
    let error = started.unwrap_err();
    assert!(matches!(error, RouterError::NoCertificate), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let identity = identity(&["app.test"]);
    let files = identity.files(folder.path());
    let (listeners, addr) = listeners();
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let _router = ropewalk_router::start(config(Some(files), proxies), listeners)
        .await
        .unwrap();
    let error = Client::connect(addr, "app.test", &[&identity]).await;
    assert!(error.is_err());
}

#[tokio::test]
async fn packets_that_are_none_are_not_answered_with_more() {
    let dyno = Dyno::hello("hello").await;
    let quic = Quic::start(table(1, app(&[dyno.addr])), Limits::default());
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut sent = 0;
    for length in [1, 20, 100, 600, 1_100, 1_199] {
        let mut packet = vec![0; length];
        // Short and long headers, of a version there is and one there is not.
        for first in [0x40, 0xc0] {
            packet[0] = first;
            if length > 5 {
                packet[1..5].copy_from_slice(&1_u32.to_be_bytes());
            }
            sent += socket.send_to(&packet, quic.addr).unwrap();
        }
    }
    let mut client = quic.client().await;
    assert_eq!(client.get("app.test", "/").await.status(), 200);
    let mut received = 0;
    let mut bytes = [0; 2048];
    while let Ok(count) = socket.recv(&mut bytes) {
        received += count;
    }
    assert!(received < sent, "{received} for {sent}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let dyno = raw_dyno(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![7; 64 * 1024];
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let limits = Limits {
        idle: Duration::from_millis(300),
        ..Limits::default()
    };
    let quic = Quic::start(table(1, app(&[dyno])), limits);
    let mut client = quic.client().await;
    let mut stream = client.begin(request(Method::GET, "app.test", "/")).await;
    stream.finish().await.unwrap();
    quic.rig.log.with("path=\"/\"").await;
}
