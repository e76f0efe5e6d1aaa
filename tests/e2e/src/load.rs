//! Load on one app: so many connections that ask again and again, and what they saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Rig, wait};

/// How long a connection without a request is kept: less than the router does, as clients should.
const KEPT: Duration = Duration::from_secs(20);

/// What the clients saw.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Status 200.
    pub good: u64,
    /// Everything else, by what it was.
    pub bad: BTreeMap<String, u64>,
    /// Bodies of good answers.
    pub bodies: BTreeMap<String, u64>,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.good += other.good;
        for (what, count) in other.bad {
            *self.bad.entry(what).or_default() += count;
        }
        for (what, count) in other.bodies {
            *self.bodies.entry(what).or_default() += count;
        }
    }

    /// Share of good answers whose body contains `text`.
    pub fn share(&self, text: &str) -> f64 {
        let of: u64 = self
            .bodies
            .iter()
            .filter(|(body, _)| body.contains(text))
            .map(|(_, n)| n)
            .sum();
        of as f64 / self.good.max(1) as f64
    }

    #[track_caller]
    pub fn none_failed(&self) -> &Self {
        assert!(
            self.bad.is_empty() && self.good > 0,
            "of {} requests failed: {:?}",
            self.good,
            self.bad
        );
        self
    }
}

/// Load that runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Seen>,
}

impl Load {
    /// Starts `connections` clients on keep-alive connections, each waiting `pause` between requests.
    pub fn start(rig: &Rig, app: &str, path: &str, connections: usize, pause: Duration) -> Self {
        let head = head(&format!("{app}.localhost"), path);
        Self::begin(Client::new(local(rig), head, pause), connections)
    }

    /// The same on a machine of the test's own, with a new connection for each request.
    pub fn fresh(
        address: SocketAddr,
        host: &str,
        path: &str,
        connections: usize,
        pause: Duration,
    ) -> Self {
        let mut client = Client::new(address, head(host, path), pause);
        client.keep = false;
        Self::begin(client, connections)
    }

    fn begin(client: Client, connections: usize) -> Self {
        let load = Self {
            stop: client.stop.clone(),
            count: client.count.clone(),
            thread: std::thread::spawn(move || client.run(connections)),
        };
        let answered = wait(Duration::from_secs(20), || load.count() > 0);
        assert!(answered, "the load got no answer in 20 s");
        load
    }

    /// Answers so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Stops it; what the clients saw in all.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }

    /// So many requests over `connections`, as fast as they go.
    pub fn burst(rig: &Rig, app: &str, path: &str, connections: usize, requests: u64) -> Seen {
        let head = head(&format!("{app}.localhost"), path);
        let mut client = Client::new(local(rig), head, Duration::ZERO);
        client.limit = requests;
        std::thread::spawn(move || client.run(connections))
            .join()
            .unwrap()
    }
}

/// Requests that take longer than others.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `GET /slow?ms=…`
    Slow { ms: u32 },
    /// `POST /upload` with so many bytes.
    Upload { bytes: usize },
}

impl Kind {
    fn request(self, host: &str) -> String {
        match self {
            Self::Slow { ms } => head(host, &format!("/slow?ms={ms}")),
            Self::Upload { bytes } => format!(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n\r\n{}",
                "u".repeat(bytes)
            ),
        }
    }
}

/// So many requests a second, however quickly they are answered, until it is stopped.
pub struct Pace {
    stop: Arc<AtomicBool>,
    rate: Arc<AtomicU64>,
    thread: JoinHandle<Seen>,
}

impl Pace {
    pub fn start(rig: &Rig, app: &str, path: &str, rate: u64) -> Self {
        Self::begin(
            Client::new(
                local(rig),
                head(&format!("{app}.localhost"), path),
                Duration::ZERO,
            ),
            rate,
        )
    }

    /// Of every hundred requests so many are of each kind; the rest are for `/`.
    pub fn mixed(rig: &Rig, app: &str, kinds: &[(Kind, usize)], rate: u64) -> Self {
        let host = format!("{app}.localhost");
        let mut client = Client::new(local(rig), head(&host, "/"), Duration::ZERO);
        let plain = client.requests[0].clone();
        let mut requests = vec![plain; 100];
        let mut places = (0..100).step_by(7).cycle();
        for (kind, share) in kinds {
            for _ in 0..*share {
                requests[places.next().unwrap()] = kind.request(&host).into();
            }
        }
        client.requests = requests.into();
        Self::begin(client, rate)
    }

    fn begin(client: Client, rate: u64) -> Self {
        let (stop, rate) = (client.stop.clone(), Arc::new(AtomicU64::new(rate)));
        let pace = rate.clone();
        Self {
            stop,
            rate,
            thread: std::thread::spawn(move || client.at_pace(&pace)),
        }
    }

    /// From now on.
    pub fn set(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// Stops it and waits for what is under way; what the clients saw in all.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn local(rig: &Rig) -> SocketAddr {
    ([127, 0, 0, 1], rig.port).into()
}

fn head(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[derive(Clone)]
struct Client {
    address: SocketAddr,
    /// In turn.
    requests: Arc<[Arc<str>]>,
    turn: Arc<AtomicU64>,
    /// Whether a connection is used for more than one request.
    keep: bool,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    pause: Duration,
    limit: u64,
}

impl Client {
    fn new(address: SocketAddr, head: String, pause: Duration) -> Self {
        Self {
            address,
            requests: [head.into()].into(),
            turn: Arc::default(),
            keep: true,
            stop: Arc::default(),
            count: Arc::default(),
            pause,
            limit: u64::MAX,
        }
    }

    fn run(self, connections: usize) -> Seen {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let begun = Arc::new(AtomicU64::new(0));
            let clients: Vec<_> = (0..connections)
                .map(|_| tokio::spawn(self.clone().one(begun.clone())))
                .collect();
            let mut all = Seen::default();
            for client in clients {
                all.add(client.await.unwrap());
            }
            all
        })
    }

    fn at_pace(self, rate: &AtomicU64) -> Seen {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut next = tokio::time::Instant::now();
            let mut asked = tokio::task::JoinSet::new();
            let mut all = Seen::default();
            let free: Arc<Mutex<Vec<(TcpStream, Instant)>>> = Arc::default();
            while !self.stop.load(Ordering::Relaxed) {
                tokio::time::sleep_until(next).await;
                next +=
                    Duration::from_secs(1) / u32::try_from(rate.load(Ordering::Relaxed)).unwrap();
                let (client, free) = (self.clone(), free.clone());
                asked.spawn(async move {
                    let mut seen = Seen::default();
                    let last = free.lock().unwrap().pop();
                    let mut connection = last
                        .filter(|(_, since)| since.elapsed() < KEPT)
                        .map(|(stream, _)| stream);
                    client.ask_once(&mut connection, &mut seen).await;
                    let kept = connection.map(|stream| (stream, Instant::now()));
                    free.lock().unwrap().extend(kept);
                    seen
                });
                while let Some(seen) = asked.try_join_next() {
                    all.add(seen.unwrap());
                }
            }
            while let Some(seen) = asked.join_next().await {
                all.add(seen.unwrap());
            }
            all
        })
    }

    async fn one(self, begun: Arc<AtomicU64>) -> Seen {
        let mut seen = Seen::default();
        let mut connection = None;
        while !self.stop.load(Ordering::Relaxed)
            && begun.fetch_add(1, Ordering::Relaxed) < self.limit
        {
            self.ask_once(&mut connection, &mut seen).await;
            self.count.fetch_add(1, Ordering::Relaxed);
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        seen
    }

    /// One request, and what came of it.
    async fn ask_once(&self, connection: &mut Option<TcpStream>, seen: &mut Seen) {
        match tokio::time::timeout(Duration::from_secs(60), self.ask(connection)).await {
            Ok(Ok((200, body))) => {
                seen.good += 1;
                *seen.bodies.entry(body).or_default() += 1;
            }
            Ok(Ok((status, body))) => {
                let code = body
                    .lines()
                    .find(|line| line.contains("code="))
                    .unwrap_or_default();
                *seen
                    .bad
                    .entry(format!("status {status} {code}"))
                    .or_default() += 1;
            }
            Ok(Err(error)) => *seen.bad.entry(error.to_string()).or_default() += 1,
            Err(_) => *seen.bad.entry("no answer in 60 s".to_owned()).or_default() += 1,
        }
    }

    /// One request. The connection stays for the next where both sides keep it.
    async fn ask(&self, connection: &mut Option<TcpStream>) -> std::io::Result<(u16, String)> {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let request = &self.requests[turn % self.requests.len()];
        stream.write_all(request.as_bytes()).await?;
        let (mut buffer, mut chunk) = (Vec::new(), [0u8; 16 << 10]);
        loop {
            if let Some((status, body, keep)) = parse(&buffer) {
                *connection = (keep && self.keep).then_some(stream);
                return Ok((status, body));
            }
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                return Err(std::io::Error::other(format!(
                    "closed after {} bytes",
                    buffer.len()
                )));
            }
            buffer.extend_from_slice(&chunk[..read]);
        }
    }
}

/// Status, body, and whether the connection stays; `None` while the answer is not whole.
fn parse(buffer: &[u8]) -> Option<(u16, String, bool)> {
    let text = std::str::from_utf8(buffer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let keep = !lower.contains("connection: close");
    if lower.contains("transfer-encoding: chunked") {
        if !body.ends_with("0\r\n\r\n") {
            return None;
        }
        let data: String = body.split("\r\n").skip(1).step_by(2).collect();
        return Some((status, data, keep));
    }
    let length: usize = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))?
        .trim()
        .parse()
        .ok()?;
    (body.len() >= length).then(|| (status, body[..length].to_owned(), keep))
}
