//! `cargo xtask test`: every test there is, on this machine, from a clean clone.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;
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
        part("release build", || {
            cargo(
                &place,
                &["build", "--release", "--locked", "--package", "ropewalk"],
            )
        })?;
        part("end to end tests", || {
            let mut command =
                Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            command
                .args(["test", "--locked", "--package", "e2e", "--no-fail-fast"])
                .current_dir(&place.root);
            if let Some(filter) = &self.filter {
                command.args(["--", filter]);
            }
            command.env("ROPEWALK_TEST_BINARY", place.binary());
            command.env("ROPEWALK_TEST_CACHE", &place.cache);
            // They wait for windows, back-offs and deadlines more than they compute.
            command.env("RUST_TEST_THREADS", (cores() + 1).to_string());
            loud(&mut command)
        })
    }
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
