//! The platform's own log: to stderr, filtered by `ROPEWALK_LOG`.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Environment variable that says what is logged: `info`, `ropewalk_api=debug,warn` ...
pub const VARIABLE: &str = "ROPEWALK_LOG";
/// Without the variable. What strangers send to the SSH port is no event of the platform.
const DEFAULT: &str = "info,russh=off";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Error)]
pub enum InitError {
    #[error("{VARIABLE} is not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("{VARIABLE} is not UTF-8 text")]
    NotText,
    #[error("the log is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets the process's log up, once.
pub fn init(format: Format) -> Result<(), InitError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(text)?,
        Err(std::env::VarError::NotPresent) => EnvFilter::try_new(DEFAULT)?,
        Err(std::env::VarError::NotUnicode(_)) => return Err(InitError::NotText),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Human => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .finish()
            .try_init()?,
        Format::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
