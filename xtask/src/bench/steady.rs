//! `cargo xtask bench steady`: everything that changes under a router while it serves, one after the other, and whether a
//! single request fails of it.
//!
//! The server is played by this process: it speaks the link's words over the router's socket, and when it is away its
//! sockets are closed as the kernel closes those of a killed one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::clean_up::in_folder;
use super::evenness::free;
use super::group::Group;
use super::load::{self, Outcome, Way};
use super::{dyno, router};
use crate::conformance::certificate;
use crate::place::Place;

const DYNOS: u16 = 4;
const UPGRADES: u32 = 20;
/// Tables a second.
const TABLES: u32 = 1_000;
/// Between two certificates.
const SWAP: Duration = Duration::from_secs(1);
/// For a router to take over.
const TAKES_OVER: Duration = Duration::from_secs(25);
/// How long tables and certificates are sent by themselves.
const UPDATES: Duration = Duration::from_secs(20);
/// Between two looks at the certificate.
const LOOK: Duration = Duration::from_millis(50);
/// One table in so many is sent whole, as the first; the others are what changes.
const WHOLE: u64 = 100;
/// For everything to begin.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(super) struct Steady {
    /// For which the server is away
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Requests a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    rate: u32,
}

impl Steady {
    pub(super) fn run(&self) -> Result<()> {
        let binary = router::binary(&Place::find()?)?;
        in_folder("steady", |folder| self.measure(folder, &binary))
    }

    fn measure(&self, folder: &Path, binary: &Path) -> Result<()> {
        let dynos = (0..DYNOS).map(|_| free()).collect::<Result<Vec<_>>>()?;
        let _dynos = dyno::start(folder, &dynos)?;
        let words = Words::new(folder, &dynos)?;
        let data = folder.join("data");
        std::fs::create_dir_all(data.join("run"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        println!("{}; {} requests/s", router::machine(), self.rate);
        runtime.block_on(async {
            let server = Server::rise(&data, words.clone())?;
            let site = Site::start(folder, binary, &data)?;
            site.serves(self.rate).await?;
            let failed = self.phases(&site, server, &data, words).await?;
            let met = if failed == 0 { "met" } else { "missed" };
            println!("no request fails      {failed} (goal 0): {met}");
            Ok(())
        })
    }

    /// How many requests failed in all.
    async fn phases(
        &self,
        site: &Site,
        server: Server,
        data: &Path,
        words: Words,
    ) -> Result<usize> {
        let mut failed = 0;
        let sent = || (server.tables.load(Relaxed), server.swaps.load(Relaxed));
        let before = sent();
        let mut looks = Looks::default();
        failed += site
            .under("tables and certificates", self.rate, async {
                looks = site.look(&server, &words, UPDATES).await?;
                Ok(())
            })
            .await?;
        let (tables, swaps) = (sent().0 - before.0, sent().1 - before.1);
        println!(
            "                      {tables} tables in {} s, {swaps} certificates; a client looked at {} of them when the \
             router had them in force, and was shown another {} times",
            UPDATES.as_secs(),
            looks.certificates.len(),
            looks.wrong
        );
        failed += looks.wrong;
        failed += site
            .under("20 upgrades", self.rate, async {
                for _ in 0..UPGRADES {
                    upgrade(data).await?;
                }
                Ok(())
            })
            .await?;
        drop(server);
        failed += site
            .under("the server away", self.rate, async {
                sleep(Duration::from_secs(self.seconds.into())).await;
                Ok(())
            })
            .await?;
        let server = Server::rise(data, words)?;
        failed += site
            .under("the server back", self.rate, async {
                let back = async {
                    while server.tables.load(Relaxed) < u64::from(TABLES) {
                        sleep(Duration::from_millis(50)).await;
                    }
                };
                timeout(LIMIT, back)
                    .await
                    .context("the router did not come back")
            })
            .await?;
        Ok(failed)
    }
}

/// What a client saw of the certificates.
#[derive(Debug, Default)]
struct Looks {
    /// Those that were looked at, by their generation.
    certificates: BTreeSet<u64>,
    /// Times that another one was shown.
    wrong: usize,
}

/// The router, and who asks it.
struct Site {
    plain: SocketAddr,
    tls: SocketAddr,
    _router: Group,
}

impl Site {
    fn start(folder: &Path, binary: &Path, data: &Path) -> Result<Site> {
        let (plain, tls) = (free()?, free()?);
        let mut command = Command::new(binary);
        command
            .args(["router", "--listen", &plain.to_string()])
            .args(["--tls-listen", &tls.to_string(), "--data"])
            .arg(data);
        let router = Group::start(&mut command, folder, "router", &[plain, tls])?;
        Ok(Site {
            plain,
            tls,
            _router: router,
        })
    }

    /// Waits until the router has its first table and certificate.
    async fn serves(&self, rate: u32) -> Result<()> {
        let began = Instant::now();
        loop {
            let outcome = self.ask(rate, sleep(Duration::from_millis(300))).await?;
            if outcome.failures == 0 {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                bail!("the router does not serve: {:?}", outcome.told);
            }
        }
    }

    /// Looks, for so long, which certificate the router shows. What it said to be in force has to be shown until the next is
    /// sent.
    async fn look(&self, server: &Server, words: &Words, limit: Duration) -> Result<Looks> {
        let began = Instant::now();
        let mut looks = Looks::default();
        let tls = TlsConnector::from(Arc::new(trusting()?));
        while began.elapsed() < limit {
            let in_force = server.certified.load(Relaxed);
            let shown = self.shown(&tls).await?;
            // While two are possible, either is right.
            if in_force > 0 && server.swaps.load(Relaxed) == in_force {
                looks.certificates.insert(in_force);
                looks.wrong += usize::from(shown != words.leaf(in_force)?);
            }
            sleep(LOOK).await;
        }
        Ok(looks)
    }

    /// The certificate that a new client is shown.
    async fn shown(&self, tls: &TlsConnector) -> Result<CertificateDer<'static>> {
        let stream = load::connect(self.tls, 0).await?;
        let name = ServerName::try_from("app.test")?;
        let stream = timeout(LIMIT, tls.connect(name, stream))
            .await
            .context("no handshake in time")??;
        let chain = stream.get_ref().1.peer_certificates();
        let leaf = chain.and_then(<[_]>::first).context("no certificate")?;
        Ok(leaf.clone().into_owned())
    }

    /// Requests while something happens; how many of them failed.
    async fn under(
        &self,
        what: &str,
        rate: u32,
        happens: impl Future<Output = Result<()>>,
    ) -> Result<usize> {
        let began = Instant::now();
        let mut result = Ok(());
        let happens = async {
            result = happens.await;
        };
        let mut outcome = self.ask(rate, happens).await?;
        let [p50, p99, most] = [500, 990, 1000].map(|part| outcome.quantile(part));
        println!(
            "{what:<24} {:.0} s, {} good, {} failed; p50 {p50:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms",
            began.elapsed().as_secs_f64(),
            outcome.good(),
            outcome.failures
        );
        for failure in &outcome.told {
            println!("                         failed: {failure}");
        }
        result.map(|()| outcome.failures)
    }

    /// Requests of all kinds until `done`.
    async fn ask(&self, rate: u32, done: impl Future<Output = ()>) -> Result<Outcome> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        let begin = Instant::now();
        let tls = Way::Tls(TlsConnector::from(Arc::new(trusting()?)));
        // Of a hundred clients; a TLS handshake costs as much as many requests.
        let kinds = (0..100).map(|number| match number {
            0..55 => (Way::Kept, get("/bytes/1024")),
            55..75 => (Way::Kept, post(16 * 1024)),
            75..85 => (Way::Kept, get("/bytes/65536")),
            85..95 => (Way::Fresh, get("/bytes/1024")),
            95..97 => (Way::Kept, get("/wait/200")),
            _ => (tls.clone(), get("/bytes/1024")),
        });
        let period = Duration::from_secs(1) * 100 / rate;
        for (number, (way, request)) in kinds.enumerate() {
            let router = match way {
                Way::Tls(_) => self.tls,
                Way::Kept | Way::Fresh => self.plain,
            };
            let begin = begin + period / 100 * u32::try_from(number)?;
            let stop = Arc::clone(&stop);
            // Whoever waits longer than its turn comes too late for the next through no fault of the router's.
            let period = period.max(match number {
                95..97 => Duration::from_millis(400),
                _ => Duration::ZERO,
            });
            clients.spawn(async move {
                load::keep_asking((router, number), way, &request, (begin, period), stop).await
            });
        }
        done.await;
        stop.store(true, Relaxed);
        let mut all = Outcome::default();
        while let Some(one) = clients.join_next().await {
            all.add(one.context("a client panicked")?);
        }
        Ok(all)
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").into_bytes()
}

fn post(length: usize) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'y'; length]].concat()
}

/// Has the router give way to another, as `ropewalk router:upgrade` does.
async fn upgrade(data: &Path) -> Result<()> {
    let file = data.join("run/router.pid");
    let pid = || -> Option<i32> { std::fs::read_to_string(&file).ok()?.trim().parse().ok() };
    let old = pid().context("no router has noted its pid")?;
    let process = Pid::from_raw(old).context("no pid")?;
    kill_process(process, Signal::HUP)?;
    let other = async {
        while pid().is_none_or(|now| now == old) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(TAKES_OVER, other)
        .await
        .context("no other router took over")
}

// ===== the server =====

/// What the server has to say.
#[derive(Clone)]
struct Words {
    dynos: Vec<SocketAddr>,
    /// Chain and key, PEM.
    certificates: Vec<(String, String)>,
}

impl Words {
    fn new(folder: &Path, dynos: &[SocketAddr]) -> Result<Words> {
        let one = |name: &str| -> Result<(String, String)> {
            let folder: PathBuf = folder.join(name);
            std::fs::create_dir(&folder)?;
            let (chain, key) = certificate(&folder)?;
            Ok((
                std::fs::read_to_string(chain)?,
                std::fs::read_to_string(key)?,
            ))
        };
        Ok(Words {
            dynos: dynos.to_vec(),
            certificates: vec![one("first")?, one("second")?],
        })
    }

    /// A table that is never the one before: dynos change places, and a host comes and goes.
    fn table(&self, generation: u64) -> Value {
        let turn = usize::try_from(generation).unwrap_or_default() % self.dynos.len();
        let (behind, first) = self.dynos.split_at(turn);
        let upstreams: Vec<Value> = first
            .iter()
            .chain(behind)
            .enumerate()
            .map(|(number, address)| {
                json!({
                    "id": format!("dyno-{}", address.port()),
                    "dyno": format!("web.{}", number + 1),
                    "addr": address.to_string(),
                })
            })
            .collect();
        let app = json!({"to": "app", "app": "app"});
        let mut hosts = json!({"app.test": app});
        if generation.is_multiple_of(2) {
            hosts["other.test"] = app;
        }
        json!({
            "type": "table",
            "generation": generation,
            "hosts": hosts,
            "apps": {"app": {"name": "app", "when_empty": "no_web_dynos", "upstreams": upstreams}},
        })
    }

    /// What makes that table of the one before.
    fn changes(&self, generation: u64) -> Value {
        let table = self.table(generation);
        let other = table["hosts"]["other.test"].clone();
        json!({
            "type": "changes",
            "generation": generation,
            "since": generation - 1,
            "hosts": {"other.test": other},
            "apps": table["apps"],
        })
    }

    /// The certificate itself of a generation.
    fn leaf(&self, generation: u64) -> Result<CertificateDer<'static>> {
        let turn = usize::try_from(generation)? % self.certificates.len();
        let (chain, _) = self.certificates.get(turn).context("no certificate")?;
        CertificateDer::from_pem_slice(chain.as_bytes()).context("not PEM")
    }

    fn certificates(&self, generation: u64) -> Value {
        let turn = usize::try_from(generation).unwrap_or_default() % self.certificates.len();
        let endpoints: Vec<Value> = self
            .certificates
            .get(turn)
            .map(|(chain, key)| json!({"hosts": ["app.test"], "chain": chain, "key": key}))
            .into_iter()
            .collect();
        json!({"type": "certificates", "generation": generation, "endpoints": endpoints})
    }
}

/// The server's end of the link, for every router that comes; dropped, it is away.
struct Server {
    tables: Arc<AtomicU64>,
    swaps: Arc<AtomicU64>,
    /// The last certificates that a router said to be in force.
    certified: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// What is counted of all links.
#[derive(Clone, Default)]
struct Counts {
    tables: Arc<AtomicU64>,
    swaps: Arc<AtomicU64>,
    certified: Arc<AtomicU64>,
}

impl Server {
    fn rise(data: &Path, words: Words) -> Result<Server> {
        let socket = data.join("run/router.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let counts = Counts::default();
        let Counts {
            tables,
            swaps,
            certified,
        } = counts.clone();
        let task = tokio::spawn(async move {
            // They end with the server.
            let mut links = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                links.spawn(link(stream, words.clone(), counts.clone()));
            }
        });
        Ok(Server {
            tables,
            swaps,
            certified,
            task,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One router: tables and certificates go out, and what it says of certificates is noted.
async fn link(stream: UnixStream, words: Words, counts: Counts) {
    let (reader, writer) = stream.into_split();
    let certified = Arc::clone(&counts.certified);
    let hear = async move {
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(said) = serde_json::from_str::<Value>(&line) else {
                return;
            };
            if said["type"] == "certified" {
                let generation = said["generation"].as_u64().unwrap_or_default();
                certified.store(generation, Relaxed);
            }
        }
    };
    tokio::select! {
        () = hear => {}
        _ = say(writer, &words, counts) => {}
    }
}

/// Ends when the router is gone.
async fn say(mut writer: OwnedWriteHalf, words: &Words, counts: Counts) -> std::io::Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / TABLES);
    // What cannot be said in time is said later: as many are sent as there is room for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut generation, mut swap) = (0, 0);
    let mut swapped: Option<Instant> = None;
    loop {
        ticks.tick().await;
        if swapped.is_none_or(|at| at.elapsed() >= SWAP) {
            swap += 1;
            // Counted first: from here on either certificate may be shown.
            counts.swaps.fetch_add(1, Relaxed);
            send(&mut writer, &words.certificates(swap)).await?;
            swapped = Some(Instant::now());
        }
        generation += 1;
        let message = match generation % WHOLE {
            1 => words.table(generation),
            _ => words.changes(generation),
        };
        send(&mut writer, &message).await?;
        counts.tables.fetch_add(1, Relaxed);
    }
}

async fn send(writer: &mut OwnedWriteHalf, message: &Value) -> std::io::Result<()> {
    let mut line = message.to_string();
    line.push('\n');
    writer.write_all(line.as_bytes()).await
}

// ===== certificates =====

/// Any certificate will do: which one it was is looked at afterwards.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn trusting() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    // Who resumes a session is shown no certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}
