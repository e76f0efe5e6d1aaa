//! `cargo xtask bench wake`: how long an app that sleeps takes to answer, beside `docker run` of the image in which its
//! dynos run, turn by turn.
//!
//! From frozen: until the answer. From stopped: until the answer, less the time in which the app itself boots, which it
//! tells; what is left is Ropewalk's own share. Docker's turn is over when `docker run` has returned: its container runs
//! and nothing has booted in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use super::answer::Door;
use super::apps::commit_all;
use super::clean_up::LABEL;
use super::ground::{Ground, on_ground};
use super::platform::Platform;
use super::run::run;
use crate::step::step;

const LIMIT: Duration = Duration::from_secs(60);
/// Between two turns, for what the one before has left to be done.
const PAUSE: Duration = Duration::from_millis(500);

/// What it may take at most, in ms and in times what Docker takes.
const FROZEN_GOAL: f64 = 50.0;
const STOPPED_GOAL: f64 = 1.0;

/// Answers with the milliseconds from its start until it listened.
const SERVER: &str = r#"
const http = require("http");
let boot = 0;
http.createServer((_, answer) => answer.end(`boot=${boot}`))
  .listen(process.env.PORT, () => { boot = performance.now(); });
"#;
const PACKAGE: &str = r#"{"name":"wake","version":"1.0.0","engines":{"node":"22.x"}}"#;

#[derive(Args)]
pub struct Wake {
    /// How often each is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Folder in which the bench has its data directory while it runs
    #[arg(long, default_value = "/var/lib")]
    dir: PathBuf,
}

/// Milliseconds of each turn.
#[derive(Default)]
struct Times {
    frozen: Vec<f64>,
    stopped: Vec<f64>,
    boot: Vec<f64>,
    share: Vec<f64>,
    docker: Vec<f64>,
}

impl Wake {
    pub fn run(&self) -> Result<()> {
        on_ground(&self.dir, |ground| {
            let mut times = Times::default();
            let measured = self.measure(ground, &mut times);
            if !times.share.is_empty() {
                times.print();
            }
            measured
        })
    }

    fn measure(&self, ground: &Ground, times: &mut Times) -> Result<()> {
        let Ground {
            place,
            binary,
            data,
            id,
        } = ground;
        let platform = step("Starting a Ropewalk for the bench", |_| {
            Platform::start(binary, data, &place.cache)
        })?;
        let app = "wake";
        step("Deploying an app", |_| {
            let folder = data.join("bench");
            repository(&folder)?;
            platform.create(app)?;
            platform.push(&folder, app)
        })?;
        let door = platform.door(app);
        for number in 1..=self.runs {
            step(&format!("Run {number} of {}", self.runs), |line| {
                let docker = |times: &mut Times| -> Result<()> {
                    std::thread::sleep(PAUSE);
                    times.docker.push(docker_run(id, &platform.run_image)?);
                    Ok(())
                };
                if number % 2 == 0 {
                    docker(times)?;
                }
                platform.sleep(app, "frozen")?;
                std::thread::sleep(PAUSE);
                let (frozen, _) = answer(&door)?;
                platform.sleep(app, "frozen")?;
                platform.sleep(app, "stopped")?;
                std::thread::sleep(PAUSE);
                let (stopped, boot) = answer(&door)?;
                if number % 2 == 1 {
                    docker(times)?;
                }
                times.frozen.push(frozen);
                times.stopped.push(stopped);
                times.boot.push(boot);
                times.share.push(stopped - boot);
                line.note(&format!(
                    "from frozen {frozen:.0} ms; from stopped {stopped:.0} ms, of which {boot:.0} ms are the app's"
                ));
                Ok(())
            })?;
        }
        platform.destroy(app)
    }
}

/// Until it answers, and how long it booted, in ms.
fn answer(door: &Door) -> Result<(f64, f64)> {
    let began = Instant::now();
    let (status, body) = door.get_within("/", LIMIT)?;
    let took = began.elapsed();
    let boot = body
        .strip_prefix("boot=")
        .and_then(|text| text.parse().ok());
    match (status, boot) {
        (200, Some(boot)) => Ok((took.as_secs_f64() * 1000.0, boot)),
        _ => bail!("the app answered {status} {body}"),
    }
}

/// From the begin of `docker run` until it has returned, in ms.
fn docker_run(id: &str, image: &str) -> Result<f64> {
    let name = format!("ropewalk-bench-{id}-wake");
    let label = format!("{LABEL}={id}");
    let mut command = Command::new("docker");
    command.args([
        "run", "--detach", "--init", "--name", &name, "--label", &label,
    ]);
    command.args(["--entrypoint", "sleep", image, "1000"]);
    let began = Instant::now();
    // Without the looks of `run`, which are too far apart for this.
    let status = command.stdout(std::process::Stdio::null()).status()?;
    let took = began.elapsed();
    if !status.success() {
        bail!("docker run failed");
    }
    let mut remove = Command::new("docker");
    run(remove.args(["rm", "--force", &name]), LIMIT)?;
    Ok(took.as_secs_f64() * 1000.0)
}

fn repository(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in [
        ("server.js", SERVER),
        ("package.json", PACKAGE),
        ("Procfile", "web: node server.js\n"),
    ] {
        std::fs::write(folder.join(name), text)?;
    }
    commit_all(folder)
}

impl Times {
    fn print(&self) {
        println!(
            "\n                                  median      p95   (ms, {} runs)",
            self.share.len()
        );
        for (name, times) in [
            ("from frozen until the answer", &self.frozen),
            ("from stopped until the answer", &self.stopped),
            ("  the app's own boot", &self.boot),
            ("  Ropewalk's share", &self.share),
            ("docker run of the same image", &self.docker),
        ] {
            println!("{name:<32}{:>8.1} {:>8.1}", at(times, 50), at(times, 95));
        }
        let ratio = at(&self.share, 50) / at(&self.docker, 50).max(0.001);
        verdict("from frozen", at(&self.frozen, 50), FROZEN_GOAL, "ms");
        verdict("Ropewalk's share", ratio, STOPPED_GOAL, "times docker run");
    }
}

fn verdict(what: &str, found: f64, goal: f64, unit: &str) {
    let word = if found <= goal { "met" } else { "MISSED" };
    println!("{what}: {found:.2} {unit}, at most {goal:.1}: {word}");
}

/// The value at so many percent.
fn at(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_end_are_found() {
        let times: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!((at(&times, 50), at(&times, 95)), (10.0, 19.0));
        assert!(at(&[], 50).is_nan());
    }
}
