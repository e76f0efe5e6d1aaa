//! Heroku's CLI as a child: where it is, its signals, its exit code.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::cmd::heroku::Variables;
use crate::ui::Failure;

/// The program, looked for in `path` (PATH).
pub(super) fn find(path: Option<&OsStr>) -> anyhow::Result<PathBuf> {
    std::env::split_paths(path.unwrap_or_default())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("heroku"))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            Failure::new("Heroku's CLI is not installed: there is no `heroku` in PATH.")
                .hint("Install it, with Node.js 20 or newer: npm install --global heroku@11")
                .into()
        })
}

/// The CLI points at Heroku's terms of service once; here they are not in force.
pub(super) fn accept_terms(cache: Option<&Path>) {
    if let Some(cache) = cache {
        // The worst that comes of a failure is the notice.
        let _ = std::fs::create_dir_all(cache);
        let _ = std::fs::File::options()
            .create(true)
            .append(true)
            .open(cache.join("terms-of-service"));
    }
}

/// Runs it on our own terminal until it ends.
pub(super) async fn run(mut command: Command, variables: &Variables) -> anyhow::Result<ExitCode> {
    // What the keyboard sends reaches the child by itself; we must only outlive it. The rest is passed on.
    let mut from_keyboard = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::quit())?,
    ];
    let (mut hangup, mut terminate) = (
        signal(SignalKind::hangup())?,
        signal(SignalKind::terminate())?,
    );
    command.kill_on_drop(true);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command
        .spawn()
        .context("Heroku's CLI could not be started")?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let [interrupt, quit] = &mut from_keyboard;
    loop {
        let passed_on = tokio::select! {
            status = child.wait() => return Ok(code(status?)),
            _ = interrupt.recv() => None,
            _ = quit.recv() => None,
            _ = hangup.recv() => Some(Signal::HUP),
            _ = terminate.recv() => Some(Signal::TERM),
        };
        if let (Some(signal), Some(pid)) = (passed_on, pid) {
            // Fails only if it has just ended, which the next round sees.
            let _ = kill_process(pid, signal);
        }
    }
}

/// As a shell gives it: 128 and the signal that ended it.
fn code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_childs_end_is_ours() {
        for (script, expected) in [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)] {
            let mut sh = Command::new("/bin/sh");
            sh.args(["-c", script]);
            let code = run(sh, &Vec::new()).await.unwrap();
            assert_eq!(
                format!("{code:?}"),
                format!("{:?}", ExitCode::from(expected)),
                "{script}"
            );
        }
    }

    #[test]
    fn a_missing_program_is_told_with_how_to_get_it() {
        let error = find(Some(OsStr::new("/nonexistent:relative"))).unwrap_err();
        assert!(error.to_string().contains("not installed"), "{error}");
    }
}
