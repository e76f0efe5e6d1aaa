//! `cargo xtask bench NAME`: figures of this machine, beside a peer that does the same work in the same run.
//!
//! Nothing here is a test: a goal that is missed is printed, and fails nothing.

mod answer;
mod api;
mod apps;
mod by_hand;
mod clean_up;
mod crowd;
mod density;
mod deploy;
mod docker;
mod dyno;
mod evenness;
mod figures;
mod ground;
mod group;
mod growth;
mod large;
mod load;
mod platform;
mod router;
mod run;
mod steady;
mod table;
mod wake;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct Bench {
    #[command(subcommand)]
    name: Name,
}

#[derive(Subcommand)]
enum Name {
    /// Requests of the API, beside a bare handler, with 10 and with 1,000 apps
    Api(api::Api),
    /// From `git push` to serving, by phase, beside `docker build` and `docker run`
    Deploy(deploy::Deploy),
    /// Idle dynos by the hundred: what one costs in memory, and how long starting and looking after them takes
    Density(density::Density),
    /// CPU time, throughput, latency and memory of the router, beside nginx, HAProxy and Caddy
    Router(router::Router),
    /// How evenly the router spreads requests of equal cost over ten dynos
    Evenness(evenness::Evenness),
    /// Idle WebSockets and slow clients by the thousand, and what others notice of them
    Crowd(crowd::Crowd),
    /// Upgrades, certificates, tables and a server that is away, and whether a request notices
    Steady(steady::Steady),
    /// What a request and the router's memory cost with 10, 1,000 and 10,000 apps
    Growth(growth::Growth),
    /// From sleeping to an answer, frozen and stopped, beside `docker run`
    Wake(wake::Wake),
    /// A dyno of the benches
    #[command(hide = true)]
    Dyno(dyno::Dyno),
    /// What removes a bench's remains when it ends, in whatever way
    #[command(hide = true)]
    CleanUp(clean_up::CleanUp),
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        match &self.name {
            Name::Api(api) => api.run(),
            Name::Deploy(deploy) => deploy.run(),
            Name::Density(density) => density.run(),
            Name::Router(router) => router.run(),
            Name::Evenness(evenness) => evenness.run(),
            Name::Crowd(crowd) => crowd.run(),
            Name::Steady(steady) => steady.run(),
            Name::Growth(growth) => growth.run(),
            Name::Wake(wake) => wake.run(),
            Name::Dyno(dyno) => dyno.run(),
            Name::CleanUp(clean_up) => clean_up.run(),
        }
    }
}
