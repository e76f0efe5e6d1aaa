//! `cargo xtask bench density`: idle dynos by the hundred. Memory of one and the time until they run, beside containers
//! of plain `docker run` from the same image with the same command; and how long the scheduler looks at them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use super::apps::commit_all;
use super::clean_up::LABEL;
use super::deploy::{load, machine};
use super::figures::Spread;
use super::ground::{Ground, on_ground};
use super::platform::Platform;
use super::run::run;
use crate::step::step;

/// What an idle dyno does.
const COMMAND: &str = "sleep 1000000";
/// A formation has at most a hundred of a type.
const TYPES: [&str; 2] = ["one", "two"];
const APP: &str = "density";
/// Of `docker run` at once: as many as the scheduler starts.
const AT_ONCE: usize = 8;
/// For so many to be up, or gone.
const LIMIT: Duration = Duration::from_secs(600);
/// For what starting leaves to be done.
const REST: Duration = Duration::from_secs(5);
/// Looks at the scheduler, of which the median counts.
const LOOKS: usize = 5;

#[derive(Args)]
pub struct Density {
    /// The most dynos; a third and two thirds of them are measured too
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(30..=200))]
    most: u32,
    /// Folder in which the bench has its data directory while it runs
    #[arg(long, default_value = "/var/lib")]
    dir: PathBuf,
}

/// What so many of them took.
struct Level {
    count: u32,
    /// From the command to the last one's start, for those that came since the level before: seconds.
    seconds: f64,
    /// Memory that the host lacks compared with none of them, in bytes.
    memory: f64,
}

impl Density {
    pub fn run(&self) -> Result<()> {
        on_ground(&self.dir, |ground| self.measure(ground))
    }

    fn measure(&self, ground: &Ground) -> Result<()> {
        let before = load();
        let platform = step("Starting a Ropewalk for the bench", |_| {
            Platform::start(&ground.binary, &ground.data, &ground.place.cache)
        })?;
        let folder = ground.data.join("bench");
        step("Pushing an app that sleeps", |_| push(&platform, &folder))?;
        let counts = [1, self.most / 3, self.most * 2 / 3, self.most];
        let mut peers = Vec::new();
        let empty = available()?;
        for pair in counts.windows(2) {
            peers.push(step(
                &format!("{} containers of docker run", pair[1]),
                |_| {
                    let from = if peers.is_empty() { 0 } else { pair[0] };
                    by_docker(&ground.id, &platform.run_image, from, pair[1], empty)
                },
            )?);
        }
        step("Removing them", |_| remove(&ground.id))?;

        platform.scale(APP, &formation(0))?;
        wait(&platform, 0)?;
        std::thread::sleep(REST);
        let (empty, own) = (available()?, own_memory(&platform)?);
        let mut ours = Vec::new();
        let mut looks = Vec::new();
        let mut owns = Vec::new();
        for count in counts {
            step(&format!("{count} dynos"), |line| {
                let began = Instant::now();
                platform.scale(APP, &formation(count))?;
                wait(&platform, count)?;
                let seconds = began.elapsed().as_secs_f64();
                std::thread::sleep(REST);
                line.note(&format!("{seconds:.1} s"));
                ours.push(Level {
                    count,
                    seconds,
                    memory: empty - available()?,
                });
                looks.push(look(&platform)?);
                owns.push(own_memory(&platform)? - own);
                Ok(())
            })?;
        }
        println!("\n{}; load {before} before, {} after.\n", machine(), load());
        print(&ours, &peers, &looks, &owns);
        Ok(())
    }
}

fn push(platform: &Platform, folder: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    let lines: String = TYPES
        .iter()
        .map(|name| format!("{name}: exec {COMMAND}\n"))
        .collect();
    std::fs::write(folder.join("Procfile"), lines)?;
    commit_all(folder)?;
    platform.create(APP)?;
    platform.push(folder, APP)
}

/// So many dynos, over both types.
fn formation(count: u32) -> [String; 2] {
    let first = count.min(100);
    [(TYPES[0], first), (TYPES[1], count - first)].map(|(name, count)| format!("{name}={count}"))
}

/// Until so many are up and none is on its way.
fn wait(platform: &Platform, count: u32) -> Result<()> {
    let began = Instant::now();
    loop {
        let dynos = &platform.status()?["dynos"];
        let of = |state: &str| dynos[state].as_u64().unwrap_or(u64::MAX);
        if (of("up"), of("starting"), of("down")) == (count.into(), 0, 0) {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!("{count} dynos are not up within {LIMIT:?}, but {dynos}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Milliseconds of one pass of the scheduler.
fn look(platform: &Platform) -> Result<f64> {
    let mut taken = Vec::new();
    let mut last = None;
    let began = Instant::now();
    while taken.len() < LOOKS {
        let scheduler = platform.status()?["scheduler"].take();
        let passes = scheduler["passes"].as_u64();
        if passes != last {
            last = passes;
            taken.push(scheduler["last_took_ms"].as_f64().unwrap_or_default());
        }
        if began.elapsed() > LIMIT {
            bail!("the scheduler does not look: {scheduler}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(Spread::of(taken).median)
}

/// Bytes that server and router have resident.
fn own_memory(platform: &Platform) -> Result<f64> {
    let status = platform.status()?;
    let of = |part: &Value| part["rss_bytes"].as_f64();
    let sum = of(&status["server"]).zip(of(&status["router"]));
    sum.map(|(server, router)| server + router)
        .context("the platform does not tell its memory")
}

/// Bytes that the host could still give away.
fn available() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    text.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .map(|kib| kib * 1024.0)
        .context("the kernel does not tell what memory is available")
}

fn by_docker(id: &str, image: &str, from: u32, to: u32, empty: f64) -> Result<Level> {
    let began = Instant::now();
    let next = Mutex::new(from..to);
    let label = format!("{LABEL}={id}");
    let start = || -> Result<()> {
        loop {
            let number = next.lock().map_err(|_| poisoned())?.next();
            if number.is_none() {
                return Ok(());
            }
            let mut docker = Command::new("docker");
            docker.args(["run", "--detach", "--init", "--label", &label, image]);
            run(
                docker.args(["sh", "-c"]).arg(format!("exec {COMMAND}")),
                LIMIT,
            )?;
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(start)).collect();
        all.into_iter()
            .try_for_each(|one| one.join().map_err(|_| poisoned())?)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(REST);
    Ok(Level {
        count: to,
        seconds,
        memory: empty - available()?,
    })
}

fn poisoned() -> anyhow::Error {
    anyhow::anyhow!("a thread of the bench ended early")
}

fn remove(id: &str) -> Result<()> {
    let filter = format!("label={LABEL}={id}");
    let mut list = Command::new("docker");
    let list = run(list.args(["ps", "-aq", "--filter", &filter]), LIMIT)?;
    let mut remove = Command::new("docker");
    remove
        .args(["rm", "--force", "--volumes"])
        .args(list.lines());
    run(&mut remove, LIMIT).map(drop)
}

fn print(ours: &[Level], peers: &[Level], looks: &[f64], owns: &[f64]) {
    const MIB: f64 = 1_048_576.0;
    println!(
        "| dynos | started | per dyno | docker run | ratio | memory per dyno | docker run's | server and router, per dyno | one look of the scheduler |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut before = 0;
    for (index, level) in ours.iter().enumerate() {
        let count = f64::from(level.count);
        let each = level.seconds / f64::from(level.count - before);
        // The first is a level of ours alone.
        let peer = index.checked_sub(1).and_then(|index| peers.get(index));
        let before_peer = if index == 1 { 0 } else { before };
        let peer_each = peer.map(|peer| peer.seconds / f64::from(level.count - before_peer));
        let text = |value: Option<f64>, unit: &str| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}{unit}"))
        };
        println!(
            "| {} | {:.1} s | {each:.2} s | {} | {} | {:.1} MiB | {} | {:.2} MiB | {:.0} ms |",
            level.count,
            level.seconds,
            text(peer_each, " s"),
            text(peer_each.map(|peer| each / peer), ""),
            level.memory / count / MIB,
            text(peer.map(|peer| peer.memory / count / MIB), " MiB"),
            owns[index] / count / MIB,
            looks[index],
        );
        before = level.count;
    }
}
