//! `heroku:leashed`: becomes Heroku's CLI, and ends with whoever started it.
//!
//! Killed by SIGKILL, `ropewalk heroku` cannot end its child itself, and without the helper the child would go on
//! against a port that somebody else may take next. So the kernel is asked to. It must be asked by the child itself,
//! before it becomes the CLI; nothing else may be done here.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use tokio::process::Command;

use crate::cmd::context::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The process that it must not outlive
    parent: i32,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// `program` with `args`, on the leash where there is one.
///
/// The kernel watches the thread that starts it, not the process: start it from one that lasts as long, such as the
/// main thread, on which commands of the CLI run.
pub(super) fn command(program: &Path, args: &[String]) -> Command {
    match std::env::current_exe() {
        Ok(own) if cfg!(target_os = "linux") => {
            let mut command = Command::new(own);
            command
                .args(["heroku:leashed", &std::process::id().to_string(), "--"])
                .arg(program)
                .args(args);
            command
        }
        _ => {
            let mut command = Command::new(program);
            command.args(args);
            command
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn run(_: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;

    use anyhow::Context as _;
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    // Not SIGKILL: the CLI gives the terminal back as it was.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
    let [program, rest @ ..] = &args.command[..] else {
        return Ok(ExitCode::FAILURE);
    };
    // It may have been killed before that.
    if parent != Some(args.parent) {
        return Ok(ExitCode::FAILURE);
    }
    let error = std::process::Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("{} could not be started", Path::new(program).display()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &Context, _: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("there is no leash on this system")
}
