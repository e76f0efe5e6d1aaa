//! Programs that are run to their end within a limit. Their output goes to files, so that none waits for a reader.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks at a running program; the error of what is timed here.
const LOOK: Duration = Duration::from_millis(4);
/// Bytes of a failed program's output that are shown.
const SHOWN: usize = 6_000;

/// A program that runs, in this process's group: Ctrl-C reaches it too.
pub(super) struct Running {
    child: Child,
    name: String,
    stdout: File,
    stderr: File,
    deadline: Instant,
}

impl Running {
    pub(super) fn start(command: &mut Command, limit: Duration) -> Result<Self> {
        let name = format!(
            "{} {}",
            command.get_program().display(),
            command
                .get_args()
                .take(2)
                .map(|argument| argument.to_string_lossy())
                .collect::<Vec<_>>()
                .join(" ")
        );
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("{name} could not be run"))?;
        Ok(Self {
            child,
            name,
            stdout,
            stderr,
            deadline: Instant::now() + limit,
        })
    }

    /// Whether it has ended well. An error, with what it printed, when it has failed or is over its limit.
    pub(super) fn is_done(&mut self) -> Result<bool> {
        match self.child.try_wait()? {
            Some(status) if status.success() => Ok(true),
            Some(status) => bail!("{}", self.failure(status)?),
            None if Instant::now() > self.deadline => {
                let said = self.said()?;
                bail!("{} was given up: it took too long\n{said}", self.name)
            }
            None => Ok(false),
        }
    }

    /// Waits for its end; returns what it wrote to stdout.
    pub(super) fn finish(mut self) -> Result<String> {
        while !self.is_done()? {
            std::thread::sleep(LOOK);
        }
        text(&mut self.stdout)
    }

    fn failure(&mut self, status: ExitStatus) -> Result<String> {
        let said = self.said()?;
        Ok(format!("{} failed ({status})\n{said}", self.name))
    }

    fn said(&mut self) -> Result<String> {
        let all = text(&mut self.stdout)? + &text(&mut self.stderr)?;
        let mut from = all.len().saturating_sub(SHOWN);
        while !all.is_char_boundary(from) {
            from += 1;
        }
        Ok(all[from..].to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn text(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a program to its end; returns what it wrote to stdout.
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<String> {
    Running::start(command, limit)?.finish()
}
