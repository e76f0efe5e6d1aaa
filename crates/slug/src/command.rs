//! Runs the few system programs this crate needs: by argument list, with a deadline, their words kept for errors.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::{Error, Result};

/// Longest wait for the removal of one tree.
const REMOVE_LIMIT: Duration = Duration::from_secs(300);
/// Half way down the kernel's scale.
const NICENESS: &str = "10";
/// How much of a program's words an error keeps, in characters.
const OUTPUT_LIMIT: usize = 2000;

/// Runs a program to its end; it is killed when the deadline passes or the future is dropped.
///
/// The environment is emptied but for `PATH`: settings like SOURCE_DATE_EPOCH would change what comes out.
pub(crate) async fn run<A: AsRef<OsStr>>(
    program: &'static str,
    arguments: impl IntoIterator<Item = A>,
    limit: Duration,
) -> Result<()> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments);
    finish(program, command, limit).await
}

/// As [`run`], at a priority below that of whatever serves requests.
pub(crate) async fn run_nicely<A: AsRef<OsStr>>(
    program: &'static str,
    arguments: impl IntoIterator<Item = A>,
    limit: Duration,
) -> Result<()> {
    let mut command = tokio::process::Command::new("nice");
    command.args(["-n", NICENESS, program]).args(arguments);
    finish(program, command, limit).await
}

async fn finish(
    program: &'static str,
    mut command: tokio::process::Command,
    limit: Duration,
) -> Result<()> {
    command
        .env_clear()
        .envs(path())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output())
        .await
        .map_err(|_| Error::Deadline { program, limit })?
        .map_err(|source| Error::Spawn { program, source })?;
    check(program, &output)
}

/// Removes a file or a whole tree written by strangers; not being there is success. Stays on one file system.
///
/// By `rm`, because it keeps its place on the heap: a tree nested a hundred thousand deep must not be able to
/// overflow this process's stack.
pub async fn remove_tree(path: &Path) -> Result<()> {
    run("rm", remove_arguments(path), REMOVE_LIMIT).await
}

/// As [`remove_tree`], on the calling thread and without a deadline.
pub(crate) fn remove_tree_blocking(path: &Path) -> Result<()> {
    let output = std::process::Command::new("rm")
        .args(remove_arguments(path))
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn {
            program: "rm",
            source,
        })?;
    check("rm", &output)
}

fn remove_arguments(path: &Path) -> [&OsStr; 4] {
    [
        OsStr::new("-rf"),
        OsStr::new("--one-file-system"),
        OsStr::new("--"),
        path.as_os_str(),
    ]
}

fn check(program: &'static str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
    let words = String::from_utf8_lossy(&words);
    let words: String = words.trim().chars().take(OUTPUT_LIMIT).collect();
    Err(Error::Program {
        program,
        status: output.status.to_string(),
        output: words,
    })
}

fn path() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os("PATH").map(|value| ("PATH", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn niceness_reaches_the_program_and_failures_name_it() {
        let script = "test $(nice) -ge 10 || { echo not nice >&2; exit 1; }";
        let limit = Duration::from_secs(30);
        run_nicely("sh", ["-c", script], limit).await.unwrap();
        let error = run_nicely("sh", ["-c", "echo broken >&2; exit 3"], limit).await;
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("sh ") && text.contains("broken"), "{text}");
    }
}
