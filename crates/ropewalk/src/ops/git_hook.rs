//! `ropewalk git-hook`: what git runs when something is pushed; hands the push to the server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct GitHook {
    /// The server's socket
    #[arg(long, value_name = "SOCKET")]
    socket: PathBuf,
}

impl GitHook {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        Ok(ExitCode::from(
            ropewalk_builder::hook_main(&self.socket).await,
        ))
    }
}
