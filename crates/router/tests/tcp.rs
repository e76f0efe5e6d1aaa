//! Raw TCP over real sockets: by port, both ways, whole; dynos that refuse, limits, and the counts of it all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rig::*;
use ropewalk_api_types::router::{
    AppRoute, EdgePolicy, TcpEntrance, TcpRoute, ToRouter, ToServer, Unbound,
};
use ropewalk_api_types::tcp_route::ProxyProtocol;
use ropewalk_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// A dyno that sends back in capitals what it gets, and says goodbye when its client has.
struct Echo {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start() -> Echo {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                clients.spawn(async move {
                    let mut piece = [0; 16 * 1024];
                    while let Ok(count) = stream.read(&mut piece).await {
                        if count == 0 {
                            let _ = stream.write_all(b"bye").await;
                            return;
                        }
                        piece.make_ascii_uppercase();
                        if stream.write_all(&piece[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Echo { addr, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port that nobody else gets, and on which nobody listens at first.
struct Reserved(TcpSocket);

impl Reserved {
    fn new() -> Reserved {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(ANY).unwrap();
        Reserved(socket)
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

fn route(port: u16, dynos: &[SocketAddr]) -> AppRoute {
    let upstreams = dynos.iter().zip(1..);
    AppRoute {
        tcp: vec![TcpRoute {
            id: "route-id".to_owned(),
            process_type: "echo".to_owned(),
            entrance: TcpEntrance::Port(port),
            idle: 60,
            proxy_protocol: None,
            wanted: true,
            upstreams: upstreams
                .map(|(addr, number)| upstream(&format!("echo.{number}"), *addr))
                .collect(),
        }],
        ..app(&[])
    }
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect((ANY.ip(), port)).await.unwrap()
}

/// Sends, says that this was all, and reads to the end.
async fn exchange(port: u16, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(port).await;
    stream.write_all(text).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(DEADLINE, read).await.unwrap()?;
    Ok(answer)
}

/// The end of a connection that no dyno gets, which may come before its client has looked.
async fn is_reset(port: u16) -> bool {
    let read = async {
        let mut stream = TcpStream::connect((ANY.ip(), port)).await?;
        stream.read(&mut [0; 8]).await
    };
    let read = tokio::time::timeout(DEADLINE, read).await.unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn bytes_go_both_ways_whole_and_each_end_is_passed_on() {
    let (echo, reserved) = (Echo::start().await, Reserved::new());
    let port = reserved.addr().port();
    let rig = Rig::fixed(table(1, route(port, &[echo.addr])), Limits::default()).await;
    // Not HTTP, not text, and more than any buffer holds.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut stream = connect_when_open(port).await;
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let (written, read) = tokio::join!(
        async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        },
        reader.read_to_end(&mut answer)
    );
    written.unwrap();
    read.unwrap();
    let mut expected = sent.to_ascii_uppercase();
    expected.extend_from_slice(b"bye");
    assert!(answer == expected, "{} bytes", answer.len());
    let line = rig.log.with("protocol=tcp").await;
    assert!(
        line.starts_with(&format!(
            "at=info port={port} protocol=tcp process=echo fwd=\"127.0.0.1\" dyno=echo.1 connect="
        )),
        "{line}"
    );
    assert!(
        line.ends_with("bytes_in=3000000 bytes_out=3000003"),
        "{line}"
    );
    rig.shut_down().await;
    // The port is closed with the router.
    closed(port).await;
}

#[tokio::test]
async fn a_dyno_is_told_who_comes_where_its_route_says_so() {
    let dyno = TcpListener::bind(ANY).await.unwrap();
    let reserved = Reserved::new();
    let port = reserved.addr().port();
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let mut generation = 0;
    for version in [None, Some(ProxyProtocol::V1), Some(ProxyProtocol::V2)] {
        generation += 1;
        let mut app = route(port, &[dyno.local_addr().unwrap()]);
        app.tcp[0].proxy_protocol = version;
        link.apply(table(generation, app)).await;
        let mut client = connect(port).await;
        let from = client.local_addr().unwrap().port();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut stream, _) = dyno.accept().await.unwrap();
        let mut seen = Vec::new();
        let read = stream.read_to_end(&mut seen);
        tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        let header = match version {
            None => Vec::new(),
            Some(ProxyProtocol::V1) => {
                format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {port}\r\n").into_bytes()
            }
            Some(ProxyProtocol::V2) => {
                let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
                header.extend([127, 0, 0, 1, 127, 0, 0, 1]);
                header.extend(from.to_be_bytes());
                header.extend(port.to_be_bytes());
                header
            }
        };
        assert_eq!(seen, [&header[..], b"hello"].concat(), "{version:?}");
        drop(stream);
        // The client sent no more than before.
        let line = link.log(1).await;
        assert!(line[0].text.contains("bytes_in=5 "), "{line:?}");
    }
    rig.shut_down().await;
}

/// The last that holds a socket may be another thread than the one that says so.
async fn closed(port: u16) {
    until("a closed port", || {
        let connected = std::net::TcpStream::connect((ANY.ip(), port));
        connected
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    })
    .await;
}

/// Ports are open before a table is acknowledged; with a fixed one there is nobody to tell.
async fn connect_when_open(port: u16) -> TcpStream {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match TcpStream::connect((ANY.ip(), port)).await {
            Ok(stream) => return stream,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn ports_open_and_close_with_the_table_and_what_cannot_be_opened_is_told() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let echo = Echo::start().await;
    let reserved = Reserved::new();
    let one = reserved.addr().port();
    let two = TcpListener::bind(ANY).await.unwrap();
    let taken = two.local_addr().unwrap().port();
    link.apply(table(1, route(one, &[echo.addr]))).await;
    // Acknowledged is open.
    assert_eq!(exchange(one, b"one").await.unwrap(), b"ONEbye");
    let mut both = route(one, &[echo.addr]);
    both.tcp.extend(route(taken, &[echo.addr]).tcp);
    both.tcp[1].id = "other-id".to_owned();
    link.send(&ToRouter::Table(table(2, both))).await;
    let unbound = link.unbound().await;
    assert_eq!((unbound.len(), unbound[0].port), (1, taken));
    assert!(unbound[0].reason.contains("in use"), "{unbound:?}");
    assert_eq!(exchange(one, b"still").await.unwrap(), b"STILLbye");
    // It is tried again, and the server told.
    drop(two);
    while !link.unbound().await.is_empty() {}
    assert_eq!(exchange(taken, b"two").await.unwrap(), b"TWObye");
    link.apply(table(3, app(&[]))).await;
    closed(one).await;
    closed(taken).await;
    rig.shut_down().await;
}

#[tokio::test]
async fn a_router_that_starts_again_opens_the_ports_of_the_table_it_kept() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let (echo, reserved) = (Echo::start().await, Reserved::new());
    let port = reserved.addr().port();
    let mut link = server.rise().await;
    link.apply(table(1, route(port, &[echo.addr]))).await;
    until("a kept table", || {
        let kept = std::fs::read_to_string(&server.table_file).unwrap_or_default();
        kept.contains("route-id").then_some(())
    })
    .await;
    drop(link);
    rig.shut_down().await;
    closed(port).await;
    // Nobody is there to tell it.
    let rig = Rig::linked(&server, Limits::default());
    drop(connect_when_open(port).await);
    assert_eq!(exchange(port, b"again").await.unwrap(), b"AGAINbye");
    rig.shut_down().await;
}

#[tokio::test]
async fn a_dyno_that_refuses_is_passed_over_and_one_that_comes_is_waited_for() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let (echo, reserved, refusing) = (Echo::start().await, Reserved::new(), Reserved::new());
    let (port, dead) = (reserved.addr().port(), refusing.addr());
    link.apply(table(1, route(port, &[dead, echo.addr]))).await;
    for _ in 0..3 {
        assert_eq!(exchange(port, b"x").await.unwrap(), b"Xbye");
    }
    assert_eq!(rig.counters.snapshot().connect_failures, 1);
    // None at first; nothing that the client sends meanwhile is lost.
    link.apply(table(2, route(port, &[]))).await;
    let early = tokio::spawn(exchange(port, b"early"));
    until("a connection that waits", || {
        (rig.counters.snapshot().open_connections == 1).then_some(())
    })
    .await;
    link.apply(table(3, route(port, &[echo.addr]))).await;
    assert_eq!(early.await.unwrap().unwrap(), b"EARLYbye");
    // None that is wanted, either.
    let mut none = route(port, &[]);
    none.tcp[0].wanted = false;
    link.apply(table(4, none)).await;
    assert!(is_reset(port).await);
    let line = link.line("code=H14").await;
    assert!(line.contains("desc=\"No processes of this type running\""));
    assert!(
        line.ends_with("dyno= connect= service= bytes_in=0 bytes_out=0"),
        "{line}"
    );
    rig.shut_down().await;
}

#[tokio::test]
async fn patience_with_dynos_that_refuse_ends() {
    let (reserved, refusing) = (Reserved::new(), Reserved::new());
    let (port, dead) = (reserved.addr().port(), refusing.addr());
    let limits = Limits {
        tcp_wait: Duration::from_millis(300),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, route(port, &[dead])), limits).await;
    drop(connect_when_open(port).await);
    assert!(is_reset(port).await);
    let line = rig.log.with("code=H21").await;
    assert!(line.starts_with("at=error code=H21 desc=\"Backend connection refused\" port="));
    rig.shut_down().await;
}

#[tokio::test]
async fn so_many_connections_are_open_at_once() {
    let (echo, reserved) = (Echo::start().await, Reserved::new());
    let port = reserved.addr().port();
    let limits = Limits {
        tcp_client: 2,
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, route(port, &[echo.addr])), limits).await;
    let mut open = vec![connect_when_open(port).await, connect(port).await];
    for stream in &mut open {
        stream.write_all(b"a").await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
    }
    assert!(is_reset(port).await);
    rig.log
        .with("code=H11 desc=\"Too many open connections of one client\"")
        .await;
    drop(open.pop());
    rig.log.with("at=info port").await;
    assert_eq!(exchange(port, b"b").await.unwrap(), b"Bbye");
    drop(open);
    rig.shut_down().await;
}

#[tokio::test]
async fn silence_ends_a_connection_and_counts_are_told() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let (echo, reserved) = (Echo::start().await, Reserved::new());
    let port = reserved.addr().port();
    let mut short = route(port, &[echo.addr]);
    short.tcp[0].idle = 1;
    link.apply(table(1, short)).await;
    let mut stream = connect(port).await;
    stream.write_all(b"ab").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"AB");
    let line = link.line("code=H15").await;
    assert!(line.ends_with("bytes_in=2 bytes_out=2"), "{line}");
    let (mut ended, mut bytes) = (0, [0, 0]);
    while ended == 0 || bytes != [2, 2] {
        for tcp in link.stats.drain(..).filter_map(|stats| stats.tcp) {
            ended += tcp.ended.get("H15").copied().unwrap_or(0);
            bytes[0] += tcp.bytes_in;
            bytes[1] += tcp.bytes_out;
        }
        if ended == 0 || bytes != [2, 2] {
            link.hear().await;
        }
    }
    rig.shut_down().await;
}

#[tokio::test]
async fn maintenance_and_trusted_addresses_hold_for_tcp_too() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let (echo, reserved) = (Echo::start().await, Reserved::new());
    let port = reserved.addr().port();
    let closed = AppRoute {
        maintenance: true,
        ..route(port, &[echo.addr])
    };
    link.apply(table(1, closed)).await;
    assert!(is_reset(port).await);
    link.line("at=info code=H80").await;
    let trusting = |range: &str| AppRoute {
        edge: Some(Box::new(EdgePolicy {
            trusted_ips: vec![range.to_owned()],
            ..EdgePolicy::default()
        })),
        ..route(port, &[echo.addr])
    };
    link.apply(table(2, trusting("192.0.2.0/24"))).await;
    assert!(is_reset(port).await);
    link.line("edge=trusted-ips desc=\"Address not trusted\"")
        .await;
    link.apply(table(3, trusting("127.0.0.0/8"))).await;
    assert_eq!(exchange(port, b"in").await.unwrap(), b"INbye");
    rig.shut_down().await;
}

#[tokio::test]
async fn a_dyno_that_breaks_off_breaks_off_its_client() {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let reserved = Reserved::new();
    let port = reserved.addr().port();
    let dyno = listener.local_addr().unwrap();
    let rig = Rig::fixed(table(1, route(port, &[dyno])), Limits::default()).await;
    let mut stream = connect_when_open(port).await;
    let (mut served, _) = listener.accept().await.unwrap();
    stream.write_all(b"unread").await.unwrap();
    served.write_all(b"half").await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    // What it has not read makes its end a reset.
    until("the client's bytes", || {
        served.try_read(&mut [0; 1]).is_ok().then_some(())
    })
    .await;
    drop(served);
    let error = stream.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    rig.log.with("cause=\"connection reset\"").await;
    rig.shut_down().await;
}

/// Both hold the same sockets for a while, as a router and its heir do.
#[tokio::test]
async fn a_router_that_takes_over_loses_no_connection() {
    let (echo, reserved) = (Echo::start().await, Reserved::new());
    let port = reserved.addr().port();
    let before = ropewalk_router::Listeners::bind(&[ANY], &[]).unwrap();
    let addr = before.plain[0].local_addr().unwrap();
    let heirs = before.try_clone().unwrap();
    let fixed = || ropewalk_router::Source::Fixed {
        table: table(1, route(port, &[echo.addr])),
        log: None,
    };
    let limits = Limits::default();
    let old = Rig::run(fixed(), limits.clone(), Log::default(), before, None, addr);
    let mut open = connect_when_open(port).await;
    open.write_all(b"one").await.unwrap();
    open.read_exact(&mut [0; 3]).await.unwrap();
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    heirs.send(&here).unwrap();
    drop(heirs);
    let arrived = ropewalk_router::Listeners::receive(&there).unwrap();
    let new = Rig::run(fixed(), limits, Log::default(), arrived, None, addr);
    until("the heir serves", || {
        // Either may take it; the heir has once it counts one.
        drop(std::net::TcpStream::connect((ANY.ip(), port)).unwrap());
        (new.counters.snapshot().connections > 0).then_some(())
    })
    .await;
    let ending = tokio::spawn(old.shut_down());
    for _ in 0..20 {
        assert_eq!(exchange(port, b"new").await.unwrap(), b"NEWbye");
    }
    // What was open goes on, on the old one.
    open.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    open.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"TWO");
    assert!(!ending.is_finished());
    drop(open);
    ending.await.unwrap();
    assert_eq!(exchange(port, b"last").await.unwrap(), b"LASTbye");
    new.shut_down().await;
}

fn named(name: &str, dynos: &[SocketAddr]) -> AppRoute {
    let mut route = route(1, dynos);
    route.tcp[0].entrance = TcpEntrance::ServerName(name.to_owned());
    route
}

/// What a client of TLS says first when it wants this name.
fn client_hello(name: &'static str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from(name).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn a_name_over_tls_goes_to_its_dyno_as_it_came() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let listener = TcpListener::bind(ANY).await.unwrap();
    let dyno = listener.local_addr().unwrap();
    link.apply(table(1, named("db.example.com", &[dyno]))).await;
    let hello = client_hello("DB.example.com");
    // In one piece with what follows, and in many.
    for size in [hello.len() + 4, 1, 7] {
        let mut sent = hello.clone();
        sent.extend_from_slice(b"\x00\xffab");
        let mut stream = TcpStream::connect(rig.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in sent.chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let (mut served, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; sent.len()];
        served.read_exact(&mut heard).await.unwrap();
        assert!(heard == sent);
        // Nothing was said to the client before the dyno did.
        served.write_all(b"no TLS at all").await.unwrap();
        drop(served);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"no TLS at all");
        drop(stream);
        let line = link
            .line("at=info host=db.example.com protocol=tls process=echo")
            .await;
        let end = format!("bytes_in={} bytes_out=13", sent.len());
        assert!(line.ends_with(&end), "{line}");
        link.lines.clear();
    }
    // Other names are the router's to answer, and HTTP on the same socket is HTTP.
    for name in ["shop.localhost", "other.example.com"] {
        let mut stream = TcpStream::connect(rig.addr).await.unwrap();
        stream.write_all(&client_hello(name)).await.unwrap();
        let mut record = [0; 5];
        stream.read_exact(&mut record).await.unwrap();
        let (handshake, alert) = (22, 21);
        let expected = match name {
            "shop.localhost" => handshake,
            _ => alert,
        };
        assert_eq!(record[0], expected, "{name}");
    }
    let answer = rig.get("db.example.com", "/").await;
    assert_eq!(status(&answer), 404, "{answer}");
    // The name is the router's again.
    link.apply(table(2, app(&[]))).await;
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut record = [0; 5];
    stream.read_exact(&mut record).await.unwrap();
    assert_eq!(record[0], 21);
    drop(stream);
    rig.shut_down().await;
}

#[tokio::test]
async fn whoever_names_nothing_in_time_is_let_go() {
    let server = Server::new();
    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let rig = Rig::local(&server, limits);
    let mut link = server.rise().await;
    let echo = Echo::start().await;
    link.apply(table(1, named("db.example.com", &[echo.addr])))
        .await;
    let hello = client_hello("db.example.com");
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    stream.write_all(&hello[..hello.len() / 2]).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
    drop(stream);
    rig.shut_down().await;
}

impl Link {
    /// Ports that the next acknowledgement says are not open.
    async fn unbound(&mut self) -> Vec<Unbound> {
        loop {
            if let ToServer::Ack { unbound, .. } = self.hear().await {
                return unbound;
            }
        }
    }

    /// The next message; lines and counts are kept.
    async fn hear(&mut self) -> ToServer {
        let message = self.next().await;
        match &message {
            ToServer::Log { lines } => self.lines.extend(lines.clone()),
            ToServer::Stats { apps } => self.stats.extend(apps.values().cloned()),
            _ => {}
        }
        message
    }

    /// The first line that has this in it.
    async fn line(&mut self, part: &str) -> String {
        loop {
            let found = self.lines.iter().find(|line| line.text.contains(part));
            if let Some(line) = found {
                return line.text.clone();
            }
            self.hear().await;
        }
    }
}
