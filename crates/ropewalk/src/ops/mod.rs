//! The commands that run the platform on its host; they never go through the public API.

use std::process::ExitCode;

use clap::Subcommand;

/// What an operator runs on the host.
#[derive(Debug, Subcommand)]
pub(crate) enum OpsCommand {
    /// Look after the health of the platform on this host
    Doctor,
}

/// Runs one of them.
pub(crate) async fn run(command: OpsCommand) -> anyhow::Result<ExitCode> {
    match command {
        OpsCommand::Doctor => Err(anyhow::anyhow!(
            "the server side of this build is not there"
        )),
    }
}
