//! The commands that run the platform on its host; they never go through the public API.

mod acme;
mod bundle;
mod data;
mod doctor;
mod dynos;
mod git_hook;
mod install;
mod leftovers;
mod local;
mod programs;
mod releases;
mod router;
mod server;
mod stacks;
mod supervise;
mod teardown;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ropewalk_model::egress::Cidr;

/// Where an installation by `ropewalk install` keeps its data.
pub(crate) const DEFAULT_DATA: &str = "/var/lib/ropewalk";

#[derive(Debug, Args)]
pub(crate) struct DataArg {
    /// Data directory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, env = "ROPEWALK_DATA")]
    pub(crate) data: PathBuf,
}

/// What an operator runs on the host.
#[derive(Debug, Subcommand)]
pub(crate) enum OpsCommand {
    /// Look after the health of the platform on this host
    Doctor(doctor::Doctor),
    /// Run the control plane: API, git, builds, dynos
    Server(server::Server),
    /// Run the router: takes every request and spreads them over dynos
    Router(router::RouterCommand),
    /// Have the router that runs give way to the program that is installed now, without losing a request
    #[command(name = "router:upgrade")]
    RouterUpgrade(router::Upgrade),
    /// Run server and router, and start them again when they end
    Supervise(supervise::Supervise),
    /// Build a stack's run and build image
    #[command(name = "stacks:build")]
    StacksBuild(stacks::StacksBuild),
    /// Set the platform up on this server as systemd units
    Install(install::Install),
    /// Remove dynos, networks, mounts and packet filter of an installation that is stopped
    Teardown(teardown::Teardown),
    /// Called by git when something is pushed
    #[command(hide = true)]
    GitHook(git_hook::GitHook),
}

/// The router's option that names these proxies; none without any.
fn proxy_protocol_from(proxies: &[Cidr]) -> Option<String> {
    let ranges: Vec<String> = proxies.iter().map(Cidr::to_string).collect();
    (!ranges.is_empty()).then(|| format!("--proxy-protocol-from={}", ranges.join(",")))
}

/// Runs one of them.
pub(crate) async fn run(command: OpsCommand) -> anyhow::Result<ExitCode> {
    match command {
        OpsCommand::Doctor(command) => command.run().await,
        OpsCommand::Server(command) => command.run().await,
        OpsCommand::Router(command) => command.run().await,
        OpsCommand::RouterUpgrade(command) => command.run().await,
        OpsCommand::Supervise(command) => command.run().await,
        OpsCommand::StacksBuild(command) => command.run().await,
        OpsCommand::Install(command) => command.run().await,
        OpsCommand::Teardown(command) => command.run().await,
        OpsCommand::GitHook(command) => command.run().await,
    }
}

/// Completes at SIGTERM or Ctrl-C.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return;
    };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
