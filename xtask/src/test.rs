//! `cargo xtask test`: every test there is, on this machine, from a clean clone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::place::Place;
use crate::process::loud;
use crate::{engine, packages, tidy};

#[derive(Args)]
pub struct Test {
    /// Only tests whose names hold this text
    filter: Option<String>,
    /// Leave out those that need Docker Engine
    #[arg(long)]
    no_engine: bool,
}

impl Test {
    pub fn run(&self) -> Result<()> {
        let place = Place::find()?;
        if !self.no_engine {
            if !rustix::process::geteuid().is_root() {
                return crate::up::as_root_without_build();
            }
            packages::ensure(true)?;
            std::fs::create_dir_all(&place.data)?;
            engine::ensure(&place)?;
        }
        if self.filter.is_none() {
            part("formatting", || cargo(&place, &["fmt", "--all", "--check"]))?;
            part("lints", || {
                cargo(
                    &place,
                    &[
                        "clippy",
                        "--workspace",
                        "--all-targets",
                        "--locked",
                        "--",
                        "-D",
                        "warnings",
                    ],
                )
            })?;
            part("tidy", tidy::run)?;
        }
        part("unit and crate tests", || {
            let mut args = vec![
                "test",
                "--workspace",
                "--locked",
                "--exclude",
                "e2e",
                "--no-fail-fast",
            ];
            args.extend(
                self.filter
                    .as_deref()
                    .map(|filter| ["--", filter])
                    .into_iter()
                    .flatten(),
            );
            cargo(&place, &args)
        })?;
        if self.no_engine {
            eprintln!("Tests on Docker Engine were left out (--no-engine).");
            return Ok(());
        }
        if self.filter.is_none() {
            part("buildpack tests", || {
                loud(Command::new(place.root.join("buildpacks/test")).current_dir(&place.root))
            })?;
        }
        part("end to end tests", || self.end_to_end(&place))
    }

    /// Each of their programs in turn, and all that failed is told at the end. They are given the program that the tests of
    /// crates have built, not the release that `up` builds: that would take ten minutes more, and has neither the assertions
    /// nor the checks for overflow.
    fn end_to_end(&self, place: &Place) -> Result<()> {
        let folder = place.root.join("tests/e2e");
        let mut failed = Vec::new();
        for program in programs(place)? {
            let mut command = Command::new(&program.path);
            command.args(&self.filter).current_dir(&folder);
            command.env("CARGO_MANIFEST_DIR", &folder);
            command.env("ROPEWALK_TEST_BINARY", place.checked_binary());
            command.env("ROPEWALK_TEST_CACHE", &place.cache);
            // They wait for windows, back-offs and deadlines more than they compute.
            command.env("RUST_TEST_THREADS", (cores() + 1).to_string());
            eprintln!("--- {}", program.name);
            if loud(&mut command).is_err() {
                failed.push(program.name);
            }
        }
        anyhow::ensure!(failed.is_empty(), "these failed: {}", failed.join(", "));
        Ok(())
    }
}

/// One program of end to end tests.
struct Program {
    name: String,
    path: PathBuf,
}

/// Builds them together with the whole workspace: by themselves they would have their dependencies with fewer features, and
/// so compiled once more.
fn programs(place: &Place) -> Result<Vec<Program>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["test", "--workspace", "--locked", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(&place.root)
        .stderr(Stdio::inherit());
    let output = command.output().context("cargo cannot be run")?;
    anyhow::ensure!(output.status.success(), "the tests do not build");
    let mut programs = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        // Other programs print there too.
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(line) else {
            continue;
        };
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        let (name, path) = (&message["target"]["name"], &message["executable"]);
        let is_test = message["profile"]["test"] == true;
        if let (true, Some(name), Some(path)) = (is_test, name.as_str(), path.as_str())
            && Path::new(manifest).starts_with(place.root.join("tests/e2e"))
        {
            programs.push(Program {
                name: name.to_owned(),
                path: path.into(),
            });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    anyhow::ensure!(!programs.is_empty(), "cargo told of no end to end tests");
    Ok(programs)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn part(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    eprintln!("=== {name}");
    work()?;
    eprintln!(
        "=== {name}: passed in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn cargo(place: &Place, args: &[&str]) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    loud(Command::new(program).args(args).current_dir(&place.root))
}
