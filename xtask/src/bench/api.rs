//! The API beside a bare handler. The measuring is a bench of the crate itself, which serves its own routes.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::place::Place;
use crate::process::loud;

#[derive(Args)]
pub(super) struct Api {
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Rounds in which ours and the bare handler take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
}

impl Api {
    pub(super) fn run(&self) -> Result<()> {
        let place = Place::find()?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        loud(
            Command::new(cargo)
                .args([
                    "bench",
                    "--locked",
                    "--package",
                    "ropewalk-api",
                    "--bench",
                    "api",
                ])
                .current_dir(&place.root)
                .env("ROPEWALK_BENCH_CONNECTIONS", self.connections.to_string())
                .env("ROPEWALK_BENCH_ROUNDS", self.rounds.to_string()),
        )
    }
}
