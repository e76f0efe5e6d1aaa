//! The map of the program: arguments choose a mode, the mode answers with an exit code.
//!
//! - [`cli`] says which commands there are; [`cmd`] holds those that speak the public API and nothing else.
//! - [`ops`] holds those that run the platform itself, on the host.
//! - [`ui`] is the only place that writes to the terminal; [`env`] the only one that reads the environment.

mod cli;
mod cmd;
mod env;
mod ops;
mod ui;

use std::future::Future;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(early) => return early.show(),
    };
    let outcome = match invocation.command {
        cli::Command::Ops(command) => run(Builder::new_multi_thread(), ops::run(*command)),
        cli::Command::Api(command) => run(Builder::new_current_thread(), cmd::run(*command)),
    };
    outcome.unwrap_or_else(|error| ui::failure::show(&error))
}

fn run(
    mut runtime: Builder,
    mode: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let runtime: Runtime = runtime.enable_all().build()?;
    let outcome = runtime.block_on(mode);
    // A thread that still waits for the terminal's next key must not hold the program.
    runtime.shutdown_background();
    outcome
}
