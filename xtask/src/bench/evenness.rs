//! `cargo xtask bench evenness`: ten dynos that are processes, requests of equal cost, and how many each one got.
//!
//! What the rules do under a clock of their own is `cargo xtask sim router`; this is the same in real time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::task::JoinSet;

use super::clean_up::in_folder;
use super::group::Group;
use super::{dyno, load, router};
use crate::place::Place;
use crate::step::step;

/// Most that the busiest dyno may get, as a part of the mean.
const GOAL: f64 = 1.01;

#[derive(Args)]
pub(super) struct Evenness {
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    dynos: u16,
    /// Together
    #[arg(long, default_value_t = 20_000)]
    requests: u32,
    /// Clients that ask one request after the other
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// Milliseconds that a dyno takes for a request
    #[arg(long, default_value_t = 5)]
    cost: u32,
}

impl Evenness {
    pub(super) fn run(&self) -> Result<()> {
        let binary = router::binary(&Place::find()?)?;
        in_folder("evenness", |folder| self.measure(folder, &binary))
    }

    fn measure(&self, folder: &Path, binary: &Path) -> Result<()> {
        let (_dynos, router, _router) = behind(folder, binary, self.dynos)?;
        let got = step("Asking", |_| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(self.ask(router))
        })?;
        let counts = load::counted(got);
        let most = counts.values().max().copied().unwrap_or(0);
        let mean = f64::from(self.requests) / f64::from(self.dynos);
        println!(
            "{}; {} requests of {} ms by {} clients over {} dynos",
            router::machine(),
            self.requests,
            self.cost,
            self.clients,
            self.dynos
        );
        for (name, count) in &counts {
            println!("{name:<10} {count}");
        }
        let ratio = most as f64 / mean;
        let met = if ratio <= GOAL { "met" } else { "missed" };
        println!("LB-5       max/mean {ratio:.4} (goal {GOAL}): {met}");
        Ok(())
    }

    /// The names of the dynos that answered, of every request.
    async fn ask(&self, router: SocketAddr) -> Result<Vec<String>> {
        let left = std::sync::Arc::new(AtomicU32::new(self.requests));
        let request = format!("GET /wait/{} HTTP/1.1\r\nHost: app.test\r\n\r\n", self.cost);
        let mut clients = JoinSet::new();
        for number in 0..usize::from(self.clients) {
            let (left, request) = (left.clone(), request.clone());
            clients.spawn(async move {
                let mut names = Vec::new();
                let mut stream = load::connect(router, number).await?;
                while left
                    .try_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let answer = load::ask(&mut stream, request.as_bytes()).await?;
                    if answer.status != 200 {
                        bail!("a request was answered with {}", answer.status);
                    }
                    names.push(String::from_utf8_lossy(&answer.body).into_owned());
                }
                Ok(names)
            });
        }
        let mut all = Vec::new();
        while let Some(names) = clients.join_next().await {
            all.extend(names.context("a client panicked")??);
        }
        Ok(all)
    }
}

/// Dynos, and a router over them by itself.
pub(super) fn behind(
    folder: &Path,
    binary: &Path,
    dynos: u16,
) -> Result<(Vec<Group>, SocketAddr, Group)> {
    let addresses = (0..dynos).map(|_| free()).collect::<Result<Vec<_>>>()?;
    let router = free()?;
    step("Starting dynos and the router", |_| {
        let dynos = dyno::start(folder, &addresses)?;
        let upstreams: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut command = Command::new(binary);
        command
            .args(["router", "--listen", &router.to_string()])
            .args(["--upstreams", &upstreams.join(",")]);
        let group = Group::start(&mut command, folder, "router", &[router])?;
        Ok((dynos, router, group))
    })
}

/// An address that was free a moment ago.
pub(super) fn free() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
