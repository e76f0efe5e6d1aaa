//! `cargo xtask sim NAME`: the product's own decisions under a clock that costs no time.
//!
//! Nothing here is a test: a goal that is missed is printed, and fails nothing. A simulation is a bench of the crate
//! whose decisions it runs.

use std::process::Command;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::place::Place;
use crate::process::loud;

#[derive(Args)]
pub struct Sim {
    #[command(subcommand)]
    name: Name,
}

#[derive(Subcommand)]
enum Name {
    /// How the router spreads requests when dynos are equal, slow, dead or failing
    Router(Router),
    /// How many dynos an app gets as its load changes, beside what others would give it
    Autoscale(Autoscale),
}

#[derive(Args)]
struct Router {
    /// Simulated seconds of each run
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(10..=3600))]
    seconds: u16,
    /// Runs of each case, each with other chances; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    seeds: u8,
}

#[derive(Args)]
struct Autoscale {
    /// Runs of each case, each with other chances; the mean counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    seeds: u8,
}

impl Sim {
    pub fn run(&self) -> Result<()> {
        let place = Place::find()?;
        let mut bench = match &self.name {
            Name::Router(router) => {
                let mut bench = bench(&place, "ropewalk-router", router.seeds);
                bench.env("ROPEWALK_SIM_SECONDS", router.seconds.to_string());
                bench
            }
            Name::Autoscale(autoscale) => bench(&place, "ropewalk-autoscale", autoscale.seeds),
        };
        loud(&mut bench)
    }
}

fn bench(place: &Place, package: &str, seeds: u8) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["bench", "--locked", "--package", package, "--bench", "sim"])
        .current_dir(&place.root)
        .env("ROPEWALK_SIM_SEEDS", seeds.to_string());
    command
}
