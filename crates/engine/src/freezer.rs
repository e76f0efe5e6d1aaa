//! Stopping all processes of a container where they are, and letting them go on: by the cgroup freezer, written directly.
//!
//! The engine's own "pause" asks its daemon, a shim and a runtime each way, and would take most of the time in which a
//! sleeping app is to answer. The engine knows nothing of this: what is frozen runs, as far as it can tell, and of
//! version 1 takes no signal, so whoever asks it for anything thaws first. All of it blocks, for milliseconds.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cgroup::{Cgroup, Version};

/// How long processes may take to stop or to go on: those that wait for a disk stop when it has answered.
const WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_micros(500);

impl Cgroup {
    /// Returns when no process of it runs. When that takes too long, all go on again.
    ///
    /// # Errors
    /// Where there is no freezer (`Unsupported`), the group is gone (`NotFound`) or it takes too long (`TimedOut`).
    pub fn freeze(&self) -> io::Result<()> {
        let done = self.set_frozen(true);
        if done.is_err() {
            let _ = self.set_frozen(false);
        }
        done
    }

    /// Lets all its processes go on; what is not frozen stays as it is.
    ///
    /// # Errors
    /// As [`Cgroup::freeze`].
    pub fn thaw(&self) -> io::Result<()> {
        self.set_frozen(false)
    }

    /// Whether its processes are stopped, or about to be.
    ///
    /// # Errors
    /// As [`Cgroup::freeze`].
    pub fn is_frozen(&self) -> io::Result<bool> {
        let (version, folder) = self.freezer()?;
        Ok(match version {
            Version::V1 => fs::read_to_string(folder.join("freezer.state"))?.trim() != "THAWED",
            Version::V2 => fs::read_to_string(folder.join("cgroup.freeze"))?.trim() != "0",
        })
    }

    /// Gives memory back that its processes do not need while they are stopped, as far as the kernel can: cached files,
    /// and what there is swap for.
    ///
    /// # Errors
    /// Where the kernel knows no such thing. That it found less than it was asked for is none.
    pub fn reclaim(&self) -> io::Result<()> {
        let Some((version, folder)) = self.folder("memory") else {
            return Err(ErrorKind::Unsupported.into());
        };
        let done = match version {
            Version::V1 => fs::write(folder.join("memory.force_empty"), "0"),
            Version::V2 => {
                let used = fs::read_to_string(folder.join("memory.current"))?;
                fs::write(folder.join("memory.reclaim"), used.trim())
            }
        };
        match done {
            Err(error) if is_less(error.kind()) => Ok(()),
            done => done,
        }
    }

    fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        let (version, folder) = self.freezer()?;
        let until = Instant::now() + WITHIN;
        loop {
            // A group of version 1 that has processes come in while it freezes is asked again.
            match (version, frozen) {
                (Version::V1, true) => fs::write(folder.join("freezer.state"), "FROZEN")?,
                (Version::V1, false) => fs::write(folder.join("freezer.state"), "THAWED")?,
                (Version::V2, _) => {
                    fs::write(folder.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
                }
            }
            if is_done(version, folder, frozen)? {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(ErrorKind::TimedOut.into());
            }
            sleep(POLL);
        }
    }

    fn freezer(&self) -> io::Result<(Version, &Path)> {
        let found = self.folder("freezer");
        found.ok_or_else(|| {
            io::Error::new(
                ErrorKind::Unsupported,
                "this host has no cgroups with a freezer",
            )
        })
    }
}

fn is_done(version: Version, folder: &Path, frozen: bool) -> io::Result<bool> {
    Ok(match version {
        Version::V1 => {
            let state = fs::read_to_string(folder.join("freezer.state"))?;
            state.trim() == if frozen { "FROZEN" } else { "THAWED" }
        }
        Version::V2 => {
            let events = fs::read_to_string(folder.join("cgroup.events"))?;
            let wanted = if frozen { "frozen 1" } else { "frozen 0" };
            events.lines().any(|line| line == wanted)
        }
    })
}

/// Of a kernel that has given back what it could.
fn is_less(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in which nobody acts on what is written.
    fn group(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let group = Cgroup::in_folder(version, folder.path(), &["freezer", "memory"]);
        (folder, group)
    }

    #[test]
    fn version_1_is_asked_by_its_state() {
        let (folder, group) = group(
            Version::V1,
            &[("freezer.state", "THAWED\n"), ("memory.force_empty", "")],
        );
        assert!(!group.is_frozen().unwrap());
        group.freeze().unwrap();
        assert!(group.is_frozen().unwrap());
        group.thaw().unwrap();
        assert!(!group.is_frozen().unwrap());
        // Half of them stopped is no group that runs.
        fs::write(folder.path().join("freezer.state"), "FREEZING\n").unwrap();
        assert!(group.is_frozen().unwrap());
        group.reclaim().unwrap();
    }

    #[test]
    fn version_2_tells_when_it_is_done() {
        let (folder, group) = group(
            Version::V2,
            &[
                ("cgroup.freeze", "0\n"),
                ("cgroup.events", "populated 1\nfrozen 1\n"),
                ("memory.current", "4096\n"),
            ],
        );
        group.freeze().unwrap();
        assert!(group.is_frozen().unwrap());
        group.reclaim().unwrap();
        let asked = fs::read_to_string(folder.path().join("memory.reclaim")).unwrap();
        assert_eq!(asked, "4096");
        fs::write(folder.path().join("cgroup.events"), "frozen 0\n").unwrap();
        group.thaw().unwrap();
        assert!(!group.is_frozen().unwrap());
        // It never says that it has: all go on again.
        let error = group.freeze().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!group.is_frozen().unwrap());
    }

    #[test]
    fn without_a_freezer_nothing_is_frozen() {
        let error = Cgroup::default().freeze().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
