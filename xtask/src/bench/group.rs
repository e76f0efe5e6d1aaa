//! A program with its processes: started in a group of its own, and what the kernel says about the group.
//!
//! Ends nothing: that is [`super::clean_up`]'s, which finds them by their working directory.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::clean_up::PROCESSES;
use crate::process::wait_for;

const READY: Duration = Duration::from_secs(15);
/// Bytes of a program's output that are shown when it fails.
const SHOWN: usize = 4_000;

pub(super) struct Group {
    id: u32,
    name: String,
    log: PathBuf,
}

impl Group {
    /// Starts a program, its output in `NAME.log`, and waits until it accepts on all of `sockets`.
    pub(super) fn start(
        command: &mut Command,
        folder: &Path,
        name: &str,
        sockets: &[SocketAddr],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log)?;
        let mut child = command
            .current_dir(folder.join(PROCESSES))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let group = Self {
            id: child.id(),
            name: name.to_owned(),
            log,
        };
        wait_for(READY, &format!("{name} to listen"), || {
            group.must_run(&mut child)?;
            Ok(sockets.iter().all(|one| TcpStream::connect(one).is_ok()))
        })
        .with_context(|| group.said())?;
        Ok(group)
    }

    fn must_run(&self, child: &mut Child) -> Result<()> {
        if let Some(status) = child.try_wait()? {
            bail!("{} ended ({status})", self.name);
        }
        Ok(())
    }

    /// Seconds that its threads have been on a CPU, to the nanosecond.
    pub(super) fn cpu(&self) -> Result<f64> {
        let mut nanos = 0;
        for process in self.processes()? {
            let Ok(threads) = std::fs::read_dir(process.join("task")) else {
                continue;
            };
            for thread in threads.flatten() {
                // A thread may end between two looks.
                let text = std::fs::read_to_string(thread.path().join("schedstat"));
                nanos += text.map_or(0, |text| first_number(&text));
            }
        }
        Ok(nanos as f64 / 1e9)
    }

    /// Its memory in KiB, shared pages by their share.
    pub(super) fn pss(&self) -> Result<f64> {
        let mut kib = 0;
        for process in self.processes()? {
            let text = std::fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
            kib += text
                .lines()
                .find_map(|line| line.strip_prefix("Pss:"))
                .map_or(0, first_number);
        }
        Ok(kib as f64)
    }

    /// The last of what it wrote.
    pub(super) fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Folders in `/proc` of its processes.
    fn processes(&self) -> Result<Vec<PathBuf>> {
        let all = std::fs::read_dir("/proc")?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                std::fs::read_to_string(path.join("stat"))
                    .is_ok_and(|stat| group_of(&stat) == Some(self.id))
            })
            .collect::<Vec<_>>();
        if all.is_empty() {
            bail!("{} is gone:\n{}", self.name, self.said());
        }
        Ok(all)
    }
}

/// The process group in a `stat` file: the third field after the name, which may have spaces and brackets of its own.
fn group_of(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(2)?.parse().ok()
}

fn first_number(text: &str) -> u64 {
    text.split_ascii_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_whatever_the_name() {
        assert_eq!(group_of("41 (a) b) S 1 40 39 0 -1"), Some(40));
        assert_eq!(group_of(""), None);
    }

    #[test]
    fn our_own_group_has_used_a_cpu_and_memory() -> Result<()> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let group = Group {
            id: group_of(&stat).context("stat names a group")?,
            name: "tests".to_owned(),
            log: PathBuf::new(),
        };
        assert!(group.cpu()? > 0.0);
        assert!(group.pss()? > 0.0);
        Ok(())
    }
}
