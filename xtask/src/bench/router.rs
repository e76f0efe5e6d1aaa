//! `cargo xtask bench router`: what a request costs the router, beside nginx, HAProxy and Caddy in the same run.
//!
//! The proxies take turns in every round and every figure that counts is a ratio within one round, so that what the
//! machine does besides falls on all of them alike. Knows no proxy's configuration and no client's output.

mod client;
mod memory;
mod proxy;
mod report;
mod scenario;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::client::{Client, Load};
use self::memory::Memory;
use self::proxy::{Kind, Proxy, Site};
use self::scenario::Scenario;
use super::clean_up::{PROCESSES, Watch};
use crate::packages;
use crate::place::Place;
use crate::process::loud;
use crate::step::step;

/// Open files that a proxy or a client may need.
const FILES: u64 = 20_000;
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Router {
    /// How often each proxy has its turn in each scenario
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    rounds: u16,
    /// Seconds of a turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=60))]
    secs: u16,
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Only these peers; kamal-proxy has to be on the PATH
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::PEERS)]
    peers: Vec<Kind>,
    /// Another build of Ropewalk, measured beside this one
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
}

/// What one proxy's turn came to.
pub(super) struct Turn {
    load: Load,
    /// CPU seconds of the proxy for 10,000 requests.
    cpu: f64,
}

/// All turns of one round.
type Round = BTreeMap<(Scenario, Kind), Turn>;

/// All that was measured.
#[derive(Default)]
struct Measured {
    rounds: Vec<Round>,
    memory: BTreeMap<Kind, Memory>,
}

impl Router {
    pub(super) fn run(&self) -> Result<()> {
        self.peers.iter().try_for_each(|kind| kind.must_be_here())?;
        packages::ensure_for_router_bench()?;
        let place = Place::find()?;
        let binary = binary(&place)?;
        let before = self.before.as_deref().map(there).transpose()?;
        allow_files()?;
        let folder = tempfile::Builder::new()
            .prefix("ropewalk-bench-router-")
            .tempdir()?
            .keep()
            .canonicalize()?;
        let watch = Watch::over_processes(&folder)?;
        let mut measured = Measured::default();
        let before_load = super::deploy::load();
        let outcome = self.measure(&folder, &binary, before.as_deref(), &mut measured);
        let after_load = super::deploy::load();
        let cleaned = watch.end();
        if !measured.rounds.is_empty() {
            println!(
                "\n{}; load {before_load} before, {after_load} after.",
                machine()
            );
            report::print(&measured, &self.scenarios(), self.secs);
        }
        outcome.and(cleaned)
    }

    /// The scenarios in their order. What a dead dyno costs is told by the healthy case of the same round.
    fn scenarios(&self) -> Vec<Scenario> {
        let wanted = |one: &Scenario| {
            self.only.is_empty()
                || self.only.contains(one)
                || (*one == Scenario::Keepalive64 && self.only.contains(&Scenario::Dead))
        };
        Scenario::ALL.into_iter().filter(wanted).collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Ropewalk];
        kinds.extend(self.before.is_some().then_some(Kind::Before));
        kinds.extend(self.peers.iter().filter(|kind| kind.is_peer()));
        kinds
    }

    /// What is measured before an error stays in `measured`.
    fn measure(
        &self,
        folder: &Path,
        binary: &Path,
        before: Option<&Path>,
        measured: &mut Measured,
    ) -> Result<()> {
        std::fs::create_dir(folder.join(PROCESSES))?;
        let site = step("Starting the apps behind the proxies", |_| {
            Site::start(folder, binary, before)
        })?;
        let client = Client::new(folder)?;
        let scenarios = self.scenarios();
        let has_dead = scenarios.contains(&Scenario::Dead);
        let mut proxies = Vec::new();
        let mut with_dead = Vec::new();
        step("Starting the proxies", |_| {
            for kind in self.kinds() {
                proxies.push(Proxy::start(kind, &site, false)?);
                if has_dead {
                    with_dead.push(Proxy::start(kind, &site, true)?);
                }
            }
            anyhow::Ok(())
        })?;
        step("Memory of idle clients", |_| {
            for proxy in &proxies {
                client.run(Scenario::Keepalive64, proxy, WARM_UP)?;
                measured.memory.insert(proxy.kind, Memory::idle(proxy)?);
            }
            for proxy in &with_dead {
                client.run(Scenario::Dead, proxy, WARM_UP)?;
            }
            anyhow::Ok(())
        })?;
        let turn = Duration::from_secs(u64::from(self.secs));
        for number in 0..usize::from(self.rounds) {
            let title = format!("Round {} of {}", number + 1, self.rounds);
            let round = step(&title, |line| {
                let mut round = Round::new();
                for scenario in &scenarios {
                    let all = match scenario {
                        Scenario::Dead => &with_dead,
                        _ => &proxies,
                    };
                    // Who begins changes from round to round.
                    let (last, first) = all.split_at(number % all.len());
                    for proxy in first.iter().chain(last) {
                        line.note(&format!("{}, {}", scenario.name(), proxy.kind.name()));
                        let cpu = proxy.group.cpu()?;
                        let load = client.run(*scenario, proxy, turn)?;
                        let cpu = (proxy.group.cpu()? - cpu) / load.requests * 10_000.0;
                        round.insert((*scenario, proxy.kind), Turn { load, cpu });
                    }
                }
                Ok(round)
            })?;
            measured.rounds.push(round);
        }
        for proxy in &proxies {
            if let Some(memory) = measured.memory.get_mut(&proxy.kind) {
                memory.after = proxy.group.pss()?;
            }
        }
        Ok(())
    }
}

/// The one that is named, or one that is built now.
pub(super) fn binary(place: &Place) -> Result<PathBuf> {
    match std::env::var_os("ROPEWALK_TEST_BINARY") {
        Some(binary) => there(Path::new(&binary)),
        None => {
            build(place)?;
            there(&place.target.join("dist/ropewalk"))
        }
    }
}

/// The build that is handed out: its figures are what counts.
fn build(place: &Place) -> Result<()> {
    eprintln!("-----> Building Ropewalk (dist)");
    loud(
        std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "build",
                "--profile",
                "dist",
                "--locked",
                "--package",
                "ropewalk",
            ])
            .current_dir(&place.root),
    )
}

fn there(file: &Path) -> Result<PathBuf> {
    file.canonicalize()
        .with_context(|| format!("{} is not there", file.display()))
}

/// Proxies and clients inherit it.
fn allow_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(FILES, |most| most.min(FILES));
    if limit.current.is_some_and(|current| current < most) {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(most),
                maximum: limit.maximum,
            },
        )
        .context("the limit of open files could not be raised")?;
    }
    Ok(())
}

/// What the figures were measured on.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, Linux {}", kernel.trim())
}
