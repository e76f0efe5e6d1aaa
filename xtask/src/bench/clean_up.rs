//! The end of a bench, however it comes: a process of its own waits for the bench's and then removes all that was made.
//!
//! Ctrl-C does not reach it, and not even kill -9 of the bench leaves containers, mounts or files behind. It removes
//! only what carries the bench's label or lies in its data directory.

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
/// For each step.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Args)]
pub struct CleanUp {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    id: String,
    #[arg(long)]
    binary: PathBuf,
}

/// While it lives, everything is removed when this process ends.
pub(super) struct Watch {
    child: Child,
}

impl Watch {
    pub(super) fn over(data: &Path, id: &str, binary: &Path) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["bench", "clean-up", "--id", id, "--data"])
            .arg(data)
            .arg("--binary")
            .arg(binary)
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
        let steps = [
            self.remove_peer(),
            platform::end(&self.data),
            self.tear_down(),
            self.remove_files(),
        ];
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

    /// Containers and images by label. A build that was cut off may still be making some, so it looks again.
    fn remove_peer(&self) -> Result<()> {
        let filter = format!("label={LABEL}={}", self.id);
        let docker = |args: &[&str]| run(Command::new("docker").args(args), LIMIT);
        process::wait_for(LIMIT, "Docker Engine to remove what the bench made", || {
            let containers = docker(&["ps", "-aq", "--no-trunc", "--filter", &filter])?;
            for id in containers.lines() {
                let _ = docker(&["rm", "--force", "--volumes", id]);
            }
            Ok(containers.is_empty() && remove_images(&self.id, &[])?)
        })
    }

    fn tear_down(&self) -> Result<()> {
        if !self.data.join("instance").exists() {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
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
