//! `cargo xtask bench crowd`: thousands of WebSockets on which nothing is said and of clients that send a head by the
//! byte, and what others notice of them. Prints what an idle WebSocket costs the router in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::clean_up::in_folder;
use super::evenness::behind;
use super::group::Group;
use super::load::{self, Outcome, Way};
use super::router;
use crate::place::Place;

/// Behind the router: each has ports of its own for the router's connections to it.
const DYNOS: u16 = 4;
/// Clients of the good requests.
const CLIENTS: u32 = 100;
/// WebSockets that are opened at the same time.
const AT_ONCE: usize = 64;
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_secs(5);
/// For which nothing happens before memory is read.
const REST: Duration = Duration::from_secs(3);
/// For everything to be opened.
const LIMIT: Duration = Duration::from_secs(60);

/// Of the good requests, in milliseconds.
const GOAL_P99: f64 = 50.0;
/// Of an idle WebSocket, in KiB.
const GOAL_MEMORY: f64 = 12.0;

const GOOD: &[u8] = b"GET /bytes/1024 HTTP/1.1\r\nHost: app.test\r\n\r\n";
const WEBSOCKET: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SLOW: &[u8] = b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Slow: ";

#[derive(Args)]
pub(super) struct Crowd {
    /// WebSockets on which nothing is said
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    websockets: u32,
    /// Clients that send a byte every five seconds
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    slow: u32,
    /// Good requests a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    rate: u32,
    /// For which good requests are sent beside all of them
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=600))]
    seconds: u32,
}

/// What was seen.
struct Seen {
    before: Outcome,
    beside: Outcome,
    /// KiB of one idle WebSocket.
    memory: f64,
    /// Of one slow client, where there are any.
    slow_memory: f64,
    /// How often the router sent a slow client away.
    sent_away: u64,
}

impl Crowd {
    pub(super) fn run(&self) -> Result<()> {
        // Two for each WebSocket in the router, which inherits it.
        allow_files(u64::from(self.websockets) * 2 + u64::from(self.slow) + 2_000)?;
        let binary = router::binary(&Place::find()?)?;
        in_folder("crowd", |folder| self.measure(folder, &binary))
    }

    fn measure(&self, folder: &Path, binary: &Path) -> Result<()> {
        let (_dynos, address, router) = behind(folder, binary, DYNOS)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut seen = runtime.block_on(self.crowd(address, &router))?;
        println!(
            "{}; {} idle WebSockets, {} slow clients, {} good requests/s for {} s",
            router::machine(),
            self.websockets,
            self.slow,
            self.rate,
            self.seconds
        );
        for (name, outcome) in [("alone", &mut seen.before), ("beside", &mut seen.beside)] {
            let [p50, p99, p999, most] = [500, 990, 999, 1000].map(|part| outcome.quantile(part));
            let (good, failed) = (outcome.good(), outcome.failures);
            println!(
                "{name:<8} {good} good, {failed} failed; p50 {p50:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms, longest {most:.1} ms"
            );
            for failure in &outcome.told {
                println!("         failed: {failure}");
            }
        }
        println!("slow clients were sent away {} times", seen.sent_away);
        let goal = |is_met: bool| if is_met { "met" } else { "missed" };
        let p99 = seen.beside.quantile(990);
        println!(
            "p99 of good requests  {p99:.1} ms (goal {GOAL_P99}): {}",
            goal(p99 < GOAL_P99)
        );
        println!(
            "no good one fails     {} (goal 0): {}",
            seen.beside.failures,
            goal(seen.beside.failures == 0)
        );
        println!(
            "an idle WebSocket     {:.1} KiB (goal {GOAL_MEMORY}): {}",
            seen.memory,
            goal(seen.memory <= GOAL_MEMORY)
        );
        println!("a slow client         {:.1} KiB", seen.slow_memory);
        Ok(())
    }

    async fn crowd(&self, router: SocketAddr, group: &Group) -> Result<Seen> {
        eprintln!("-----> Good requests alone");
        let before = self.good(router, Duration::from_secs(5)).await?;
        sleep(REST).await;
        let empty = group.pss()?;

        eprintln!("-----> Opening WebSockets");
        let websockets = open(router, self.websockets as usize).await?;
        sleep(REST).await;
        let with_websockets = group.pss()?;

        eprintln!("-----> Slow clients");
        let crowd = Arc::new(Slow::default());
        let mut slow = JoinSet::new();
        for number in 0..self.slow as usize {
            slow.spawn(Arc::clone(&crowd).stay(router, number));
        }
        let all_there = async {
            while crowd.there.load(Relaxed) < self.slow as usize {
                crowd.changed.notified().await;
            }
        };
        timeout(LIMIT, all_there)
            .await
            .context("not all slow clients got in")?;
        sleep(REST).await;
        let with_slow = group.pss()?;

        eprintln!("-----> Good requests beside them");
        let beside = self
            .good(router, Duration::from_secs(self.seconds.into()))
            .await?;
        let still = websockets.iter().filter(|one| is_open(one)).count();
        if still < websockets.len() {
            println!(
                "{} WebSockets were closed meanwhile",
                websockets.len() - still
            );
        }
        Ok(Seen {
            before,
            beside,
            memory: (with_websockets - empty) / f64::from(self.websockets),
            slow_memory: (with_slow - with_websockets) / f64::from(self.slow.max(1)),
            sent_away: crowd.sent_away.load(Relaxed),
        })
    }

    /// Good requests for that long, in step with the clock.
    async fn good(&self, router: SocketAddr, length: Duration) -> Result<Outcome> {
        let begin = Instant::now() + Duration::from_millis(100);
        let stop = Arc::new(AtomicBool::new(false));
        let period = Duration::from_secs(1) * CLIENTS / self.rate;
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let begin = begin + period * number / CLIENTS;
            let client = (router, number as usize);
            let stop = Arc::clone(&stop);
            clients.spawn(load::keep_asking(
                client,
                Way::Kept,
                GOOD,
                (begin, period),
                stop,
            ));
        }
        sleep_until((begin + length).into()).await;
        stop.store(true, Relaxed);
        let mut all = Outcome::default();
        while let Some(one) = clients.join_next().await {
            all.add(one.context("a client panicked")?);
        }
        Ok(all)
    }
}

/// WebSockets, all of which the dynos have agreed to.
async fn open(router: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for number in 0..count {
        let gate = Arc::clone(&gate);
        opening.spawn(async move {
            let _place = gate.acquire().await?;
            let mut stream = load::connect(router, number).await?;
            let answer = load::ask(&mut stream, WEBSOCKET).await?;
            match answer.status {
                101 => Ok(stream),
                status => bail!("a WebSocket was answered with {status}"),
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    let joined = async {
        while let Some(one) = opening.join_next().await {
            all.push(one.context("a client panicked")??);
        }
        anyhow::Ok(())
    };
    timeout(LIMIT, joined)
        .await
        .context("not all WebSockets were opened")??;
    Ok(all)
}

fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The slow clients together.
#[derive(Default)]
struct Slow {
    there: AtomicUsize,
    sent_away: AtomicU64,
    changed: Notify,
}

impl Slow {
    /// One of them: begins a head and goes on with a byte now and then; comes again when it is sent away.
    async fn stay(self: Arc<Self>, router: SocketAddr, number: usize) {
        let mut is_first = true;
        loop {
            let Ok(mut stream) = load::connect(router, number).await else {
                sleep(DRIP).await;
                continue;
            };
            if stream.write_all(SLOW).await.is_ok() {
                if std::mem::take(&mut is_first) {
                    self.there.fetch_add(1, Relaxed);
                    self.changed.notify_one();
                }
                drip(&mut stream).await;
            }
            self.sent_away.fetch_add(1, Relaxed);
        }
    }
}

/// A byte every five seconds until the router has enough of it.
async fn drip(stream: &mut TcpStream) {
    let mut answer = [0; 1024];
    loop {
        match timeout(DRIP, stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
            Err(_) if stream.write_all(b"x").await.is_err() => return,
            Err(_) => {}
        }
    }
}

/// For this process and those that it starts.
fn allow_files(count: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|most| most.max(count));
    let current = Some(count);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).with_context(|| {
        format!(
            "{count} open files are needed and {} allowed: run this where the limit may be raised (root with CAP_SYS_RESOURCE), or with fewer --websockets and --slow",
            limit.maximum.unwrap_or_default()
        )
    })
}
