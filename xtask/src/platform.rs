//! The platform on a data directory, as `up` or a bench started it: who of it runs, and how it is ended.
//!
//! A supervisor that was killed leaves server and router behind, so all three are looked for, by their pid files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::process;
use crate::step::step;

/// For one of them to end: the router lets requests in flight finish for 30 s.
const GRACE: Duration = Duration::from_secs(60);

/// In the order in which they are ended.
const PARTS: [&str; 3] = ["supervise", "server", "router"];

/// The supervisor's pid, if it runs.
pub fn supervisor(data: &Path) -> Option<u32> {
    running(data, "supervise")
}

/// Whether anything of it runs.
pub fn runs(data: &Path) -> bool {
    PARTS.iter().any(|part| running(data, part).is_some())
}

/// Ends all of it. The supervisor first, which ends the others.
pub fn end(data: &Path) -> Result<()> {
    if !runs(data) {
        return Ok(());
    }
    step("Stopping server and router", |_| {
        for part in PARTS {
            if let Some(pid) = running(data, part) {
                process::end(pid, GRACE)?;
            }
        }
        Ok(())
    })
}

fn running(data: &Path, part: &str) -> Option<u32> {
    // The supervisor was given the path as it is here, and gives its children the real one.
    let real = data.canonicalize().ok()?;
    run_folders(data)
        .iter()
        .map(|folder| folder.join(format!("{part}.pid")))
        .find_map(|file| {
            [data, &real]
                .iter()
                .find_map(|data| process::running(&file, &[part, &data.to_string_lossy()]))
        })
}

/// Where pid files are: in the data directory, unless sockets there would have too long a path.
fn run_folders(data: &Path) -> Vec<PathBuf> {
    let mut folders = vec![data.join("run")];
    if let Ok(instance) = std::fs::read_to_string(data.join("instance")) {
        folders.push(PathBuf::from(format!("/run/ropewalk-{}", instance.trim())));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    /// A process with the command line of one of ours, which does nothing; its pid is noted.
    fn stand_in(data: &Path, part: &str) -> Result<Child> {
        let mut child = Command::new("sh")
            .args(["-c", "echo runs; read -r _", "ropewalk", part, "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // After its first word it has the command line that it keeps.
        if let Some(output) = &mut child.stdout {
            std::io::Read::read_exact(output, &mut [0u8; 4])?;
        }
        std::fs::write(data.join(format!("run/{part}.pid")), child.id().to_string())?;
        Ok(child)
    }

    #[test]
    fn what_a_killed_supervisor_left_is_ended_too() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().canonicalize()?;
        std::fs::create_dir(data.join("run"))?;
        end(&data)?;
        std::fs::write(data.join("run/supervise.pid"), "1")?;
        let mut children = [stand_in(&data, "server")?, stand_in(&data, "router")?];
        assert!(runs(&data) && supervisor(&data).is_none());
        end(&data)?;
        for child in &mut children {
            assert_eq!(
                child.wait()?.signal(),
                Some(rustix::process::Signal::TERM.as_raw())
            );
        }
        assert!(!runs(&data));
        Ok(())
    }
}
