//! How many dynos there are as the load changes, by the product's own decision in a world that is made up, beside what
//! others would decide: run it with `cargo xtask sim autoscale`.
//!
//! No request is sent and nobody waits: an hour of traffic takes a second, and comes out the same each time.
#![allow(clippy::print_stdout)] // a tool for terminals

mod dice;
mod laws;
mod report;
mod trace;
mod world;

use report::Report;

fn main() {
    let given = std::env::var("ROPEWALK_SIM_SEEDS").ok();
    Report {
        seeds: given.and_then(|text| text.parse().ok()).unwrap_or(3),
    }
    .print();
}
