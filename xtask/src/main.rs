//! The project's own commands, `cargo xtask …`: set-up, tests, benches, and the rules that hold the layout.
//!
//! Nothing here is part of the product: what a server needs when it runs is in `crates/ropewalk`.

mod bench;
mod conformance;
mod down;
mod engine;
mod fuzz;
mod layers;
mod packages;
mod place;
mod platform;
mod process;
mod sim;
mod step;
mod test;
mod tidy;
mod up;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, test and measure Ropewalk")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing, build, start, push an example and show its answer
    Up(up::Up),
    /// Stop everything that `up` started
    Down {
        /// Also remove every container, image, network and file that Ropewalk made
        #[arg(long)]
        purge: bool,
    },
    /// Run every test, those on a real Docker Engine too
    Test(test::Test),
    /// Check formatting rules, file sizes and the layer table
    Tidy,
    /// Measure, beside a peer in the same run
    Bench(bench::Bench),
    /// Run a public conformance suite against the router
    Conformance(conformance::Conformance),
    /// Look for inputs that break a parser, with libFuzzer
    Fuzz(fuzz::Fuzz),
    /// Run the product's decisions under a clock of their own
    Sim(sim::Sim),
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Up(up) => up.run(),
        Command::Down { purge } => down::run(purge),
        Command::Test(test) => test.run(),
        Command::Tidy => tidy::run(),
        Command::Bench(bench) => bench.run(),
        Command::Conformance(conformance) => conformance.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Sim(sim) => sim.run(),
    }
}
