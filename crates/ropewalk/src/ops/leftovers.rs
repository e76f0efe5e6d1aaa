//! Server and router of a supervisor that was killed: they hold the lock and the port, and nobody looks after them.
//!
//! Only processes of this data directory are touched, and only where a supervisor left its pid behind: what systemd
//! runs is never mistaken for a leftover.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::data::Data;

/// For both to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(40);
/// For a killed process to go.
const KILLED: Duration = Duration::from_secs(5);

/// Where a supervisor notes its pid: beside the sockets, and where people look.
pub(super) fn pid_files(data: &Data) -> Vec<PathBuf> {
    let mut files = vec![data.socket("supervise.pid")];
    let plain = data.path("run/supervise.pid");
    if !files.contains(&plain) {
        files.push(plain);
    }
    files
}

/// Ends what a killed supervisor left running.
///
/// # Errors
/// When a supervisor runs on this data directory, or something of it cannot be ended.
pub(super) async fn end(data: &Data) -> Result<()> {
    let pid_files = pid_files(data);
    let supervisor = pid_files
        .iter()
        .find_map(|file| running(file, "supervise", None));
    if let Some(pid) = supervisor {
        bail!(
            "a supervisor (process {pid}) runs on {} already",
            data.root.display()
        );
    }
    if !pid_files.iter().any(|file| file.exists()) {
        return Ok(());
    }
    for (signal, grace) in [(Signal::TERM, GRACE), (Signal::KILL, KILLED)] {
        for pid in children(data) {
            tracing::warn!(%pid, "A killed supervisor left this process; it is ended.");
            let _ = kill_process(pid, signal);
        }
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if children(data).is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    bail!(
        "server or router of an earlier run on {} cannot be ended",
        data.root.display()
    )
}

/// The router that runs on this data directory.
pub(crate) fn router(data: &Data) -> Option<Pid> {
    running(&data.socket("router.pid"), "router", None)
}

fn children(data: &Data) -> Vec<Pid> {
    ["server", "router"]
        .into_iter()
        .filter_map(|mode| running(&data.socket(&format!("{mode}.pid")), mode, Some(&data.root)))
        .collect()
}

/// The process of a pid file, if it is still Ropewalk in that mode on that data directory: pids are used again. A
/// supervisor may have been told its directory in another way than by its real path; its children are not.
pub(super) fn running(pid_file: &Path, mode: &str, data: Option<&Path>) -> Option<Pid> {
    let text = std::fs::read_to_string(pid_file).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    // That of a process which has ended and was not waited for is empty.
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    is_ours(&line, mode, data).then_some(pid)
}

/// Whether a command line, each argument ended by a zero byte, is `… MODE … DATA …`.
fn is_ours(line: &[u8], mode: &str, data: Option<&Path>) -> bool {
    let mut arguments = line.split(|byte| *byte == 0).skip(1);
    let is_mode = arguments.next() == Some(mode.as_bytes());
    let names = |data: &Path| {
        let data = data.as_os_str().as_encoded_bytes();
        arguments.any(|argument| argument == data)
    };
    is_mode && data.is_none_or(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::data::write_pid;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    /// A process with the command line of one of ours, which does nothing; its pid is noted.
    fn stand_in(data: &Data, mode: &str) -> Result<Child> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(mode), "echo runs; read -r _\n")?;
        let mut child = Command::new("sh")
            .args([mode, "--data"])
            .arg(&data.root)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // From its first word on it needs its script no more.
        let mut word = [0u8; 4];
        if let Some(output) = &mut child.stdout {
            std::io::Read::read_exact(output, &mut word)?;
        }
        write_pid(&data.socket(&format!("{mode}.pid")), child.id())?;
        Ok(child)
    }

    #[tokio::test]
    async fn what_a_killed_supervisor_left_is_ended_and_nothing_else() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = Data::open(&folder.path().join("data"))?;
        let other = Data::open(&folder.path().join("data-2"))?;
        let mut children = [stand_in(&data, "server")?, stand_in(&data, "router")?];
        let mut stranger = stand_in(&other, "server")?;

        // No supervisor was here: these are somebody else's to look after.
        end(&data).await?;
        assert!(children[0].try_wait()?.is_none());

        // A pid that was used again.
        write_pid(&other.socket("supervise.pid"), 1)?;
        write_pid(&other.socket("server.pid"), children[0].id())?;
        end(&other).await?;
        assert!(children[0].try_wait()?.is_none() && stranger.try_wait()?.is_none());

        write_pid(&data.socket("supervise.pid"), 1)?;
        end(&data).await?;
        for child in &mut children {
            assert_eq!(child.wait()?.signal(), Some(Signal::TERM.as_raw()));
        }
        stranger.kill()?;
        stranger.wait()?;
        Ok(())
    }

    #[tokio::test]
    async fn a_supervisor_that_runs_is_not_disturbed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = Data::open(folder.path())?;
        let mut processes = [stand_in(&data, "supervise")?, stand_in(&data, "server")?];
        assert!(end(&data).await.is_err());
        for process in &mut processes {
            assert!(process.try_wait()?.is_none());
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    #[test]
    fn a_command_line_must_name_mode_and_data_directory_as_a_whole() {
        let line = b"/usr/local/bin/ropewalk\0router\0--data\0/var/lib/ropewalk-1\0";
        let ours = |line, mode, data| is_ours(line, mode, Some(Path::new(data)));
        assert!(ours(line, "router", "/var/lib/ropewalk-1"));
        assert!(!ours(line, "router", "/var/lib/ropewalk"));
        assert!(!ours(line, "server", "/var/lib/ropewalk-1"));
        assert!(!ours(b"", "server", "/var/lib/ropewalk-1"));
        assert!(is_ours(line, "router", None) && !is_ours(line, "server", None));
    }
}
