//! A router on a free port, dynos to put behind it, and the server's end of the link.
#![allow(dead_code)] // Each test file uses its part.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ropewalk_api_types::router::{
    AppRoute, LogLine, Table, Target, ToRouter, ToServer, Upstream, WhenEmpty,
};
use ropewalk_router::{Config, Counters, Limits, Listeners, Source};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Every wait of a test ends here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const ANY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running router; stops when dropped.
pub(crate) struct Rig {
    pub(crate) addr: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log: Log,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) done: JoinHandle<()>,
}

/// The router log of a fixed table.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        // Without the time.
        text.lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect()
    }

    /// The first line that contains `part`, once there is one.
    pub(crate) async fn with(&self, part: &str) -> String {
        until(&format!("a log line with {part}"), || {
            self.lines().into_iter().find(|line| line.contains(part))
        })
        .await
    }
}

impl Rig {
    pub(crate) async fn fixed(table: Table, limits: Limits) -> Rig {
        let log = Log::default();
        let source = Source::Fixed {
            table,
            log: Some(Box::new(log.clone())),
        };
        Rig::start(source, limits, log)
    }

    pub(crate) fn linked(server: &Server, limits: Limits) -> Rig {
        let source = Source::Link {
            socket: server.socket.clone(),
            table_file: server.table_file.clone(),
            certificates_file: server.certificates_file.clone(),
        };
        Rig::start(source, limits, Log::default())
    }

    fn start(source: Source, limits: Limits, log: Log) -> Rig {
        let listeners = Listeners::bind(&[ANY], &[]).unwrap();
        let addr = listeners.plain[0].local_addr().unwrap();
        Rig::run(source, limits, log, listeners, None, addr)
    }

    /// With an authority of its own in the server's folder.
    pub(crate) fn local(server: &Server, limits: Limits) -> Rig {
        let listeners = Listeners::bind(&[ANY], &[]).unwrap();
        let addr = listeners.plain[0].local_addr().unwrap();
        let config = Config {
            source: Source::Link {
                socket: server.socket.clone(),
                table_file: server.table_file.clone(),
                certificates_file: server.certificates_file.clone(),
            },
            tls: None,
            local_authority: Some(server.dir.path().join("tls")),
            proxies: Vec::new(),
            limits,
            counters: Arc::default(),
        };
        Rig::with(config, Log::default(), listeners, addr)
    }

    pub(crate) fn run(
        source: Source,
        limits: Limits,
        log: Log,
        listeners: Listeners,
        tls: Option<ropewalk_router::TlsFiles>,
        addr: SocketAddr,
    ) -> Rig {
        let config = Config {
            source,
            tls,
            local_authority: None,
            proxies: Vec::new(),
            limits,
            counters: Arc::default(),
        };
        Rig::with(config, log, listeners, addr)
    }

    pub(crate) fn with(config: Config, log: Log, listeners: Listeners, addr: SocketAddr) -> Rig {
        let counters = Arc::clone(&config.counters);
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(async move {
            ropewalk_router::run(config, listeners, async {
                let _ = stopped.await;
            })
            .await
            .unwrap();
        });
        Rig {
            addr,
            counters,
            log,
            stop: Some(stop),
            done,
        }
    }

    /// Stops accepting and waits until everything in flight is done.
    pub(crate) async fn shut_down(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(DEADLINE, &mut self.done)
            .await
            .unwrap()
            .unwrap();
    }

    /// Sends a request that ends its connection; the whole answer as text.
    pub(crate) async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> String {
        self.send(&get(host, path)).await
    }
}

pub(crate) fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

pub(crate) async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is an answer too.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `end` has come.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.contains(end) {
            return text;
        }
        let mut chunk = [0; 4096];
        let count = tokio::time::timeout_at(deadline, stream.read(&mut chunk))
            .await
            .unwrap_or_else(|_| panic!("no {end:?} in {text:?}"))
            .unwrap();
        assert!(count > 0, "ended early: {text:?}");
        bytes.extend_from_slice(&chunk[..count]);
    }
}

pub(crate) fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status in {answer:?}"))
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// A header's value, lower-case name.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Polls until `condition` yields something.
pub(crate) async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

// ===== dynos =====

/// A dyno that answers each request with `reply`, keep-alive, and counts.
pub(crate) struct Dyno {
    pub(crate) addr: SocketAddr,
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) connections: Arc<AtomicU64>,
    /// The heads it got.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Dyno {
    pub(crate) async fn hello(text: &str) -> Dyno {
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        Dyno::start(reply, None).await
    }

    /// `linger`: an idle connection is closed after that long.
    pub(crate) async fn start(reply: String, linger: Option<Duration>) -> Dyno {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (counted, seen, opened) = (requests.clone(), heads.clone(), connections.clone());
        let task = tokio::spawn(async move {
            // Dropped with the task: a stopped dyno's connections die.
            let mut clients = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                opened.fetch_add(1, SeqCst);
                let (reply, counted, seen) = (reply.clone(), counted.clone(), seen.clone());
                clients.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    // A connection that brought nothing yet is not idle but new.
                    let mut linger_now = None;
                    loop {
                        let head = match linger_now {
                            None => read_head(&mut stream).await,
                            Some(limit) => tokio::time::timeout(limit, read_head(&mut stream))
                                .await
                                .unwrap_or(None),
                        };
                        let Some(head) = head else { return };
                        linger_now = linger;
                        let length: usize = header(&head, "content-length")
                            .and_then(|value| value.parse().ok())
                            .unwrap_or(0);
                        let mut body = vec![0; length];
                        if stream.read_exact(&mut body).await.is_err() {
                            return;
                        }
                        counted.fetch_add(1, SeqCst);
                        {
                            let mut seen = seen.lock().unwrap();
                            if seen.len() < 64 {
                                seen.push(head);
                            }
                        }
                        if stream.write_all(reply.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Dyno {
            addr,
            requests,
            connections,
            heads,
            task,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.requests.load(SeqCst)
    }

    pub(crate) fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().unwrap().clone()
    }

    /// Ends it like a kill: sockets closed, port refused.
    pub(crate) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Dyno {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A head with its end, `None` when the connection ended.
pub(crate) async fn read_head(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut head = String::new();
    loop {
        match stream.read_line(&mut head).await {
            Ok(0) | Err(_) => return None,
            Ok(_) if head.ends_with("\r\n\r\n") => return Some(head),
            Ok(_) => {}
        }
    }
}

/// A dyno that does what `script` says with each connection.
pub(crate) async fn raw_dyno<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(ANY).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(stream));
        }
    });
    addr
}

/// An address where nobody listens.
pub(crate) async fn dead() -> SocketAddr {
    let listener = TcpListener::bind(ANY).await.unwrap();
    listener.local_addr().unwrap()
}

// ===== tables =====

pub(crate) fn upstream(name: &str, addr: SocketAddr) -> Upstream {
    Upstream {
        id: format!("id-{name}-{}", addr.port()),
        dyno: name.to_owned(),
        addr: addr.to_string(),
    }
}

pub(crate) fn app(dynos: &[SocketAddr]) -> AppRoute {
    AppRoute {
        name: "app".to_owned(),
        maintenance: false,
        session_affinity: false,
        concurrency: None,
        error_page_url: None,
        maintenance_page_url: None,
        edge: None,
        hold: None,
        asleep: false,
        waiting_page: false,
        when_empty: WhenEmpty::NoWebDynos,
        protocol: Default::default(),
        upstreams: dynos
            .iter()
            .enumerate()
            .map(|(index, addr)| upstream(&format!("web.{}", index + 1), *addr))
            .collect(),
        tcp: Vec::new(),
    }
}

/// One app, `app.test`, with id `app-id`.
pub(crate) fn table(generation: u64, app: AppRoute) -> Table {
    let target = Target::App {
        app: "app-id".to_owned(),
    };
    Table {
        generation,
        hosts: BTreeMap::from([("app.test".to_owned(), target)]),
        apps: BTreeMap::from([("app-id".to_owned(), app)]),
        rendezvous: None,
    }
}

// ===== the server's end of the link =====

pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) table_file: PathBuf,
    pub(crate) certificates_file: PathBuf,
}

impl Server {
    pub(crate) fn new() -> Server {
        let dir = tempfile::tempdir().unwrap();
        Server {
            socket: dir.path().join("router.sock"),
            table_file: dir.path().join("router/table.json"),
            certificates_file: dir.path().join("router/certificates.json"),
            dir,
        }
    }

    /// Comes to life: listens, and waits for the router to say hello.
    pub(crate) async fn rise(&self) -> Link {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept())
            .await
            .unwrap()
            .unwrap();
        let (reader, writer) = stream.into_split();
        let mut link = Link {
            reader: BufReader::new(reader),
            writer,
            lines: Vec::new(),
            stats: Vec::new(),
            wakes: Vec::new(),
            _listener: listener,
        };
        assert!(matches!(link.next().await, ToServer::Hello { .. }));
        link
    }
}

pub(crate) struct Link {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) stats: Vec<ropewalk_api_types::router::AppStats>,
    /// Apps that the router asked to be woken.
    pub(crate) wakes: Vec<String>,
    _listener: UnixListener,
}

impl Link {
    pub(crate) async fn next(&mut self) -> ToServer {
        let mut line = String::new();
        let count = tokio::time::timeout(DEADLINE, self.reader.read_line(&mut line))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0, "the router hung up");
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until a message has begun, and reads no more of it.
    pub(crate) async fn begun(&mut self) {
        tokio::time::timeout(DEADLINE, self.reader.fill_buf())
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn send(&mut self, message: &ToRouter) {
        let mut line = serde_json::to_vec(message).unwrap();
        line.push(b'\n');
        self.writer.write_all(&line).await.unwrap();
    }

    /// Reads on, collecting logs and counts, up to an acknowledgement.
    pub(crate) async fn ack(&mut self) -> (u64, BTreeMap<String, u64>) {
        loop {
            match self.next().await {
                ToServer::Ack {
                    generation,
                    draining,
                    ..
                } => return (generation, draining),
                ToServer::Log { lines } => self.lines.extend(lines),
                ToServer::Stats { apps } => self.stats.extend(apps.into_values()),
                ToServer::Certified { .. } => {}
                ToServer::Wake { app } => self.wakes.push(app),
                other @ (ToServer::Hello { .. } | ToServer::Unknown) => panic!("{other:?}"),
            }
        }
    }

    /// Reads on up to the acknowledgement of certificates.
    pub(crate) async fn certified(&mut self) -> u64 {
        loop {
            if let ToServer::Certified { generation } = self.next().await {
                return generation;
            }
        }
    }

    /// Sends a table and waits until it is in force.
    pub(crate) async fn apply(&mut self, table: Table) -> BTreeMap<String, u64> {
        let wanted = table.generation;
        self.send(&ToRouter::Table(table)).await;
        loop {
            let (generation, draining) = self.ack().await;
            if generation == wanted {
                return draining;
            }
        }
    }

    /// Reads on until so many log lines have come.
    pub(crate) async fn log(&mut self, count: usize) -> Vec<LogLine> {
        while self.lines.len() < count {
            match self.next().await {
                ToServer::Log { lines } => {
                    assert!(lines.len() <= 512);
                    assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= 1 << 20);
                    self.lines.extend(lines);
                }
                ToServer::Stats { apps } => self.stats.extend(apps.into_values()),
                _ => {}
            }
        }
        std::mem::take(&mut self.lines)
    }
}
