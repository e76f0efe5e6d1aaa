//! `cargo xtask bench deploy`: seconds from `git push` to the first answer of the new version, by phase, beside
//! `docker build` and `docker run` of the same app from the same base, turn by turn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use super::apps::{App, Kind};
use super::by_hand::ByHand;
use super::docker::Docker;
use super::figures::{Case, Pair, rows};
use super::ground::{Ground, on_ground};
use super::platform::Platform;
use super::run::run;
use super::table;
use crate::step::step;

/// Between two turns, as between two pushes of somebody in a hurry; longest wait for the machine to have nothing to do
/// then, and between two looks at it.
const PAUSE: Duration = Duration::from_secs(3);
const REST_LIMIT: Duration = Duration::from_secs(5);
const REST_LOOK: Duration = Duration::from_millis(300);

#[derive(Args)]
pub struct Deploy {
    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    runs: u16,
    /// Only this app
    #[arg(long, value_enum)]
    only: Option<Kind>,
    /// Folder in which the bench has its data directory while it runs
    #[arg(long, default_value = "/var/lib")]
    dir: PathBuf,
}

impl Deploy {
    pub fn run(&self) -> Result<()> {
        on_ground(&self.dir, |ground| {
            warn_about(&ground.data, "the bench's data directory");
            warn_about(&docker_root(), "Docker's images");
            let mut pairs = Vec::new();
            let before = load();
            let measured = self.measure(ground, &mut pairs);
            let after = load();
            if !pairs.is_empty() {
                println!("\n{}; load {before} before, {after} after.", machine());
                table::print(&rows(&pairs), self.runs);
            }
            measured
        })
    }

    /// What is measured before an error stays in `pairs`.
    fn measure(&self, ground: &Ground, pairs: &mut Vec<Pair>) -> Result<()> {
        let Ground {
            place,
            binary,
            data,
            id,
        } = ground;
        let platform = step("Starting a Ropewalk for the bench", |_| {
            Platform::start(binary, data, &place.cache)
        })?;
        let work = data.join("bench");
        std::fs::create_dir(&work)?;
        let mut docker = step("Preparing the image that Docker builds from", |_| {
            Docker::new(id, &work, &platform.build_image)
        })?;
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| self.only.is_none_or(|only| only == *kind));
        for kind in kinds {
            let mut app = step(&format!("Preparing {}", kind.name()), |_| {
                App::make(
                    kind,
                    &place.root.join("examples"),
                    &work,
                    &docker.base_line(),
                )
            })?;
            for number in 1..=self.runs {
                let title = format!("{}, run {number} of {}", kind.name(), self.runs);
                step(&title, |line| {
                    let mut note = |text: &str| line.note(text);
                    one_run(
                        &platform,
                        &mut docker,
                        &mut app,
                        number,
                        &work,
                        pairs,
                        &mut note,
                    )
                })?;
            }
            // 45,000 files less in the way of the next app.
            std::fs::remove_dir_all(&app.folder)?;
        }
        Ok(())
    }
}

/// Each case once, Ropewalk and Docker in turn; who begins alternates from run to run.
fn one_run(
    platform: &Platform,
    docker: &mut Docker,
    app: &mut App,
    number: u16,
    work: &Path,
    pairs: &mut Vec<Pair>,
    note: &mut impl FnMut(&str),
) -> Result<()> {
    let name = format!("{}-{number}", app.kind.name());
    platform.create(&name)?;
    for case in Case::ALL {
        match case {
            Case::Cold => {}
            Case::Unchanged => app.change_nothing()?,
            Case::Line => app.change_line()?,
        }
        let cold = case == Case::Cold;
        let mut build = || {
            rest();
            docker.deploy(&app.folder, app.kind.name(), app.version, cold)
        };
        let push = || {
            rest();
            platform.deploy(&app.folder, &name, app.version)
        };
        let (ours, docker) = match number % 2 {
            1 => {
                let ours = push()?;
                (ours, build()?)
            }
            _ => {
                let docker = build()?;
                (push()?, docker)
            }
        };
        note(&format!(
            "{}: push to answer {:.2} s, docker {:.2} s",
            case.name(),
            ours.total,
            docker.total
        ));
        let by_hand = match (app.kind, case) {
            (Kind::Large, Case::Cold) => {
                rest();
                let folder = work.join(format!("by-hand-{number}"));
                let by_hand = ByHand::measure(&app.folder, &folder)?;
                note(&format!("git and mksquashfs by hand {by_hand}"));
                Some(by_hand)
            }
            _ => None,
        };
        pairs.push(Pair {
            kind: app.kind,
            case,
            ours,
            docker,
            by_hand,
        });
    }
    platform.destroy(&name)?;
    docker.clear()
}

/// What a turn leaves to be done after its answer (old containers go, new ones are made ready) is not the next one's.
fn rest() {
    std::thread::sleep(PAUSE);
    let began = Instant::now();
    while began.elapsed() < REST_LIMIT {
        let before = busy_ticks();
        std::thread::sleep(REST_LOOK);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = REST_LOOK.as_millis() as u64 / 10 * cores as u64;
        if busy_ticks().saturating_sub(before) * 10 <= all {
            return;
        }
    }
}

/// Hundredths of a second in which processors worked, since the start.
fn busy_ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace();
    let numbers: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // User, nice, system; then idle, waiting for the disk; then interrupts.
    let worked = [0, 1, 2, 5, 6].map(|index| numbers.get(index).copied().unwrap_or(0));
    worked.iter().sum()
}

/// Without a journal, ext4 steps over every file that was removed in the last minutes when it makes a new one: after
/// one build of many files the next takes many times as long.
fn warn_about(folder: &Path, what: &str) {
    if is_without_journal(folder).unwrap_or(false) {
        eprintln!(
            " !     {what} ({}) is on ext4 without a journal, where making files soon after removing others is slow.",
            folder.display()
        );
    }
}

fn is_without_journal(folder: &Path) -> Result<bool> {
    let mut find = Command::new("findmnt");
    find.args([
        "--noheadings",
        "--nofsroot",
        "--output",
        "FSTYPE,SOURCE",
        "--target",
    ])
    .arg(folder);
    let found = run(&mut find, Duration::from_secs(10))?;
    let Some(("ext4", device)) = found.trim().split_once(char::is_whitespace) else {
        return Ok(false);
    };
    let device = Path::new(device.trim()).canonicalize()?;
    let name = device.file_name().context("a device has a name")?;
    let options = Path::new("/proc/fs/ext4").join(name).join("options");
    // The mode of journalling is named only where there is one.
    Ok(!std::fs::read_to_string(options)?.contains("data="))
}

fn docker_root() -> PathBuf {
    let mut docker = Command::new("docker");
    docker.args(["info", "--format", "{{.DockerRootDir}}"]);
    let root = run(&mut docker, Duration::from_secs(30)).unwrap_or_default();
    PathBuf::from(root.trim())
}

/// What the figures were measured on.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut docker = Command::new("docker");
    docker.args(["version", "--format", "{{.Server.Version}}"]);
    let engine = run(&mut docker, Duration::from_secs(30)).unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores, Linux {}, Docker Engine {}",
        kernel.trim(),
        engine.trim()
    )
}

/// Processes that want to run, over the last minute.
pub(super) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
