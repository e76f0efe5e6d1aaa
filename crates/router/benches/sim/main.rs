//! How requests are spread, by the product's own rules (`balance`, `health`) in a world that is made up: run it with
//! `cargo xtask sim router`.
//!
//! No request is sent and nobody waits: an hour of traffic takes seconds, and comes out the same each time.
#![allow(clippy::print_stdout)] // a tool for terminals

mod dice;
mod events;
mod report;
mod router;
mod world;

use report::Report;

fn main() {
    let number = |name: &str, usual: f64| {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    Report {
        seconds: number("ROPEWALK_SIM_SECONDS", 200.0),
        seeds: number("ROPEWALK_SIM_SEEDS", 3.0) as u64,
    }
    .print();
}
