//! `cargo xtask bench growth`: what a request and the memory of a router cost with 10, 1,000 and 10,000 apps in its table.
//!
//! A router for each number of apps, turn by turn over the same dynos. The server is played by this process, which sends
//! each its table. As many apps are asked of each router, from one end of its table to the other: what is compared is what
//! the others cost that are there and quiet.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::clean_up::in_folder;
use super::evenness::free;
use super::figures::Spread;
use super::group::Group;
use super::load;
use super::{dyno, router};
use crate::place::Place;

const APPS: [usize; 3] = [10, 1_000, 10_000];
const DYNOS: u16 = 2;
const CLIENTS: usize = 16;
/// Apps that are asked.
const BUSY: usize = 10;
/// Most that a thousand times the apps may add: a tenth.
const MOST: f64 = 1.10;
/// For a router to have its table.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(super) struct Growth {
    /// How often each router has its turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds of a turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=60))]
    secs: u16,
}

impl Growth {
    pub(super) fn run(&self) -> Result<()> {
        let binary = router::binary(&Place::find()?)?;
        in_folder("growth", |folder| self.measure(folder, &binary))
    }

    fn measure(&self, folder: &Path, binary: &Path) -> Result<()> {
        let dynos = (0..DYNOS).map(|_| free()).collect::<Result<Vec<_>>>()?;
        let _dynos = dyno::start(folder, &dynos)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        println!("{}", router::machine());
        runtime.block_on(async {
            let mut sites = Vec::new();
            for apps in APPS {
                sites.push(Site::start(folder, binary, apps, &dynos).await?);
            }
            for round in 0..=self.rounds {
                for site in &mut sites {
                    let cost = site.turn(Duration::from_secs(self.secs.into())).await?;
                    // In the first, memory is taken and pages are touched.
                    if round > 0 {
                        site.micros.push(cost);
                    }
                }
            }
            report(&sites)
        })
    }
}

fn report(sites: &[Site]) -> Result<()> {
    let few = sites.first().context("no router")?;
    println!(
        "| apps | CPU us / request | x {} apps | MiB (PSS) | x {} apps |",
        few.apps, few.apps
    );
    println!("|---|---|---|---|---|");
    let few_kib = few.router.pss()?;
    for site in sites {
        let ratios = site.micros.iter().zip(&few.micros).map(|(a, b)| a / b);
        let (cpu, ratio) = (Spread::of(site.micros.iter().copied()), Spread::of(ratios));
        let kib = site.router.pss()?;
        println!(
            "| {} | {:.1} ({:.1}-{:.1}) | {:.2} | {:.1} | {:.2} |",
            site.apps,
            cpu.median,
            cpu.min,
            cpu.max,
            ratio.median,
            kib / 1024.0,
            kib / few_kib
        );
        if site.apps > few.apps {
            let each = (kib - few_kib) / (site.apps - few.apps) as f64;
            println!("  - an app more: {each:.2} KiB");
            for (what, is) in [("CPU time", ratio.median), ("memory", kib / few_kib)] {
                let verdict = if is <= MOST { "met" } else { "**missed**" };
                println!(
                    "  - {verdict}: {what} of that with {}: {is:.2}, at most {MOST:.2}",
                    few.apps
                );
            }
        }
    }
    Ok(())
}

/// A router with so many apps.
struct Site {
    apps: usize,
    address: SocketAddr,
    router: Group,
    /// CPU time of a request, by turn.
    micros: Vec<f64>,
}

impl Site {
    async fn start(
        folder: &Path,
        binary: &Path,
        apps: usize,
        dynos: &[SocketAddr],
    ) -> Result<Self> {
        let data = folder.join(format!("data-{apps}"));
        std::fs::create_dir_all(data.join("run"))?;
        serve_table(&data, table(apps, dynos))?;
        let address = free()?;
        let mut command = Command::new(binary);
        command.args(["router", "--listen", &address.to_string(), "--data"]);
        let name = format!("router-{apps}");
        let router = Group::start(command.arg(&data), folder, &name, &[address])?;
        let site = Self {
            apps,
            address,
            router,
            micros: Vec::new(),
        };
        let began = Instant::now();
        loop {
            let mut stream = load::connect(address, 0).await?;
            let answer = load::ask(&mut stream, &request(apps - 1)).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(site);
            }
            if began.elapsed() > LIMIT {
                bail!("the router does not serve:\n{}", site.router.said());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// CPU time of a request in microseconds, over some seconds of as many requests as there can be.
    async fn turn(&self, time: Duration) -> Result<f64> {
        let stop = Arc::new(AtomicBool::new(false));
        let before = self.router.cpu()?;
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (address, apps, stop) = (self.address, self.apps, Arc::clone(&stop));
            clients.spawn(async move { ask_all(address, apps, number, &stop).await });
        }
        sleep(time).await;
        stop.store(true, Relaxed);
        let mut requests = 0_u32;
        while let Some(one) = clients.join_next().await {
            requests += one.context("a client panicked")??;
        }
        let used = self.router.cpu()? - before;
        if requests == 0 {
            bail!("nothing was answered");
        }
        Ok(used * 1e6 / f64::from(requests))
    }
}

/// One client: every busy app in turn, on one connection. Returns how many answers it had.
async fn ask_all(
    address: SocketAddr,
    apps: usize,
    number: usize,
    stop: &AtomicBool,
) -> Result<u32> {
    let mut stream = load::connect(address, number).await?;
    let mut requests = 0;
    while !stop.load(Relaxed) {
        let turn = (number + usize::try_from(requests)?) % BUSY;
        let app = turn * apps / BUSY;
        let answer = load::ask(&mut stream, &request(app)).await?;
        if answer.status != 200 {
            bail!("{} to a request for app {app}", answer.status);
        }
        requests += 1;
    }
    Ok(requests)
}

fn request(app: usize) -> Vec<u8> {
    format!("GET /bytes/128 HTTP/1.1\r\nHost: app-{app}.test\r\n\r\n").into_bytes()
}

fn table(apps: usize, dynos: &[SocketAddr]) -> Value {
    let (mut hosts, mut routes) = (Map::new(), Map::new());
    for number in 0..apps {
        let id = format!("app-{number}");
        let upstreams: Vec<Value> = dynos
            .iter()
            .enumerate()
            .map(|(index, address)| {
                json!({
                    "id": format!("dyno-{number}-{index}"),
                    "dyno": format!("web.{}", index + 1),
                    "addr": address.to_string(),
                })
            })
            .collect();
        hosts.insert(format!("{id}.test"), json!({"to": "app", "app": id}));
        let route = json!({"name": id, "when_empty": "no_web_dynos", "upstreams": upstreams});
        routes.insert(id, route);
    }
    json!({"type": "table", "generation": 1, "hosts": hosts, "apps": routes})
}

/// Sends the table to whichever router comes, and lets it talk. Ends with the runtime.
fn serve_table(data: &Path, table: Value) -> Result<()> {
    let listener = UnixListener::bind(data.join("run/router.sock"))?;
    tokio::spawn(async move {
        let line = format!("{table}\n");
        // They end with this task.
        let mut links = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let line = line.clone();
            links.spawn(async move {
                stream.write_all(line.as_bytes()).await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
            });
        }
    });
    Ok(())
}
