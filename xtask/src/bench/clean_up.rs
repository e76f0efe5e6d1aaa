//! The end of a bench, however it comes: a process of its own waits for the bench's and then removes all that was made.
//!
//! Ctrl-C does not reach it, and not even kill -9 of the bench leaves containers, mounts, processes or files behind. It
//! ends and removes only what carries the bench's label or is in its data directory.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::docker::remove_images;
use super::run::run;
use crate::{engine, platform, process};

/// Label of every container and image that a bench makes; its value is the bench's id.
pub(super) const LABEL: &str = "ropewalk.bench";
/// Folder in the data directory that is the working directory of every process a bench starts to stay, and of no other.
pub(super) const PROCESSES: &str = "processes";
/// For each step.
const LIMIT: Duration = Duration::from_secs(180);
/// For a process to end when it is told to.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct CleanUp {
    #[arg(long)]
    data: PathBuf,
    /// Of a bench that makes containers and images
    #[arg(long, requires = "binary")]
    id: Option<String>,
    #[arg(long, requires = "id")]
    binary: Option<PathBuf>,
}

/// While it lives, everything is removed when this process ends.
pub(super) struct Watch {
    child: Child,
}

/// Runs a bench that only starts processes, in a folder of its own with [`PROCESSES`] in it, and removes both.
pub(super) fn in_folder(bench: &str, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("ropewalk-bench-{bench}-"))
        .tempdir()?
        .keep()
        .canonicalize()?;
    let watch = Watch::over_processes(&folder)?;
    let outcome = std::fs::create_dir(folder.join(PROCESSES))
        .map_err(anyhow::Error::from)
        .and_then(|()| work(&folder));
    outcome.and(watch.end())
}

impl Watch {
    /// Over a bench with a platform of its own, and Docker beside it.
    pub(super) fn over(data: &Path, id: &str, binary: &Path) -> Result<Self> {
        Self::start(data, |command| {
            command.args(["--id", id, "--binary"]).arg(binary);
        })
    }

    /// Over a bench that only starts processes.
    pub(super) fn over_processes(data: &Path) -> Result<Self> {
        Self::start(data, |_| {})
    }

    fn start(data: &Path, more: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "clean-up", "--data"]).arg(data);
        more(&mut command);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("the process that cleans up could not be started")?;
        Ok(Self { child })
    }

    /// Removes everything now.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > 4 * LIMIT {
                bail!("cleaning up takes too long; see `docker ps --filter label={LABEL}`");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match self.child.wait()?.success() {
            true => Ok(()),
            false => bail!("not everything could be removed"),
        }
    }
}

impl CleanUp {
    pub fn run(&self) -> Result<()> {
        // Ends when the bench's end of the pipe is closed, by itself or by the kernel.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        eprintln!("-----> Removing what the bench made");
        let mut steps = vec![end_processes(&self.data.join(PROCESSES))];
        if let (Some(id), Some(binary)) = (&self.id, &self.binary) {
            steps.push(remove_peer(id));
            steps.push(platform::end(&self.data));
            steps.push(self.tear_down(binary));
        }
        steps.push(self.remove_files());
        // Every step is tried, whatever became of the one before.
        let mut good = true;
        for error in steps.into_iter().filter_map(Result::err) {
            eprintln!(" !     {error:#}");
            good = false;
        }
        match good {
            true => Ok(()),
            false => bail!("some of it is still there; see {}", self.data.display()),
        }
    }

    fn tear_down(&self, binary: &Path) -> Result<()> {
        if !self.data.join("instance").exists() {
            return Ok(());
        }
        let mut command = Command::new(binary);
        command.args(["teardown", "--data"]).arg(&self.data);
        // The stack's images stay: every Ropewalk of this host that has this version uses them.
        run(&mut command, LIMIT).map(drop)
    }

    fn remove_files(&self) -> Result<()> {
        if let [point, ..] = engine::mounts_below(&[&self.data])?.as_slice() {
            bail!("{point} is still mounted; no file was removed");
        }
        std::fs::remove_dir_all(&self.data)
            .with_context(|| format!("{} could not be removed", self.data.display()))
    }
}

/// Containers and images by label. A build that was cut off may still be making some, so it looks again.
fn remove_peer(id: &str) -> Result<()> {
    let filter = format!("label={LABEL}={id}");
    let docker = |args: &[&str]| run(Command::new("docker").args(args), LIMIT);
    process::wait_for(LIMIT, "Docker Engine to remove what the bench made", || {
        let containers = docker(&["ps", "-aq", "--no-trunc", "--filter", &filter])?;
        for id in containers.lines() {
            let _ = docker(&["rm", "--force", "--volumes", id]);
        }
        Ok(containers.is_empty() && remove_images(id, &[])?)
    })
}

/// Ends every process whose working directory is `folder`.
fn end_processes(folder: &Path) -> Result<()> {
    for pid in processes_in(folder)? {
        process::end(pid, GRACE)?;
    }
    Ok(())
}

fn processes_in(folder: &Path) -> Result<Vec<u32>> {
    let mut pids: Vec<u32> = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder))
        .collect();
    // A parent before its children, which it ends better than we do.
    pids.sort_unstable();
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_in_the_folder_is_ended_and_nothing_else() -> Result<()> {
        let data = tempfile::tempdir()?;
        let folder = data.path().canonicalize()?.join(PROCESSES);
        std::fs::create_dir(&folder)?;
        let start = |folder: &Path| Command::new("sleep").arg("60").current_dir(folder).spawn();
        let mut ours = start(&folder)?;
        let mut other = start(data.path())?;
        assert_eq!(processes_in(&folder)?, [ours.id()]);
        end_processes(&folder)?;
        assert!(ours.wait()?.code().is_none());
        assert!(other.try_wait()?.is_none());
        other.kill()?;
        other.wait()?;
        Ok(())
    }
}
