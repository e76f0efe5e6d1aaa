//! What the kernel counts and limits for a container: memory, CPU time, kills for want of memory. Of its own files, for both
//! versions of cgroups and a host that has both; no engine is asked, so it is cheap enough for every second.
//!
//! Finds the folders and reads; `freezer.rs` writes to them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ContainerId;

/// Longest file that is read.
const MOST: u64 = 1 << 20;

/// From here on a limit of version 1 means that there is none: it is written as the greatest number of whole pages.
const UNLIMITED: u64 = 1 << 62;

/// Of which version a folder's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// The groups of one process, of which a container's processes have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// By controller.
    v1: BTreeMap<String, PathBuf>,
    v2: Option<PathBuf>,
}

/// Memory of all processes of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes in use. Files that are cached and were not needed lately are left out: they are given up before anything is
    /// killed.
    pub used: u64,
    /// At which the kernel kills; `None` for no limit.
    pub limit: Option<u64>,
    /// Processes that were killed for want of memory so far.
    pub kills: u64,
}

impl Cgroup {
    /// Those in which process `pid` is now.
    ///
    /// # Errors
    /// When there is no such process (`NotFound`), or /proc is not readable.
    pub fn of(pid: u32) -> io::Result<Self> {
        let groups = text(Path::new(&format!("/proc/{pid}/cgroup")))?;
        let mounts = text(Path::new("/proc/self/mountinfo"))?;
        Ok(Self::parse(&groups, &mounts))
    }

    #[cfg(test)]
    pub(crate) fn in_folder(version: Version, folder: &Path, controllers: &[&str]) -> Self {
        match version {
            Version::V1 => Self {
                v1: (controllers.iter())
                    .map(|name| ((*name).to_owned(), folder.to_owned()))
                    .collect(),
                v2: None,
            },
            Version::V2 => Self {
                v1: BTreeMap::new(),
                v2: Some(folder.to_owned()),
            },
        }
    }

    /// Whether they are those of this container, which a number that went to another process is not.
    pub fn is_of(&self, container: &ContainerId) -> bool {
        let all = self.v1.values().chain(&self.v2);
        // An engine names groups by the whole id, alone or within the name of a scope.
        container.0.len() >= 12
            && all
                .filter_map(|folder| folder.to_str())
                .any(|folder| folder.contains(&container.0))
    }

    /// Where a controller's files are: `memory`, `cpu`, `cpuacct`, `freezer`, `pids`. For version 2 it is the same folder
    /// whatever is asked for, if there is one.
    pub fn folder(&self, controller: &str) -> Option<(Version, &Path)> {
        match self.v1.get(controller) {
            Some(folder) => Some((Version::V1, folder)),
            None => self.v2.as_deref().map(|folder| (Version::V2, folder)),
        }
    }

    /// # Errors
    /// When the group is gone (`NotFound`), its memory is not counted (`Unsupported`) or a file says what nobody expects.
    pub fn memory(&self) -> io::Result<MemoryUse> {
        let (version, folder) = self.found("memory")?;
        let read = |name: &str| text(&folder.join(name));
        match version {
            Version::V1 => memory(
                &read("memory.usage_in_bytes")?,
                &read("memory.limit_in_bytes")?,
                field(&read("memory.stat")?, "total_inactive_file"),
                // Told since Linux 4.13.
                field(&read("memory.oom_control")?, "oom_kill"),
            ),
            Version::V2 => memory(
                &read("memory.current")?,
                &read("memory.max")?,
                field(&read("memory.stat")?, "inactive_file"),
                field(&read("memory.events")?, "oom_kill"),
            ),
        }
    }

    /// CPU time of all processes so far.
    ///
    /// # Errors
    /// As [`Cgroup::memory`].
    pub fn cpu_time(&self) -> io::Result<Duration> {
        let (version, folder) = self.found("cpuacct")?;
        match version {
            Version::V1 => number(&text(&folder.join("cpuacct.usage"))?).map(Duration::from_nanos),
            Version::V2 => field(&text(&folder.join("cpu.stat"))?, "usage_usec")
                .map(Duration::from_micros)
                .ok_or_else(|| odd("cpu.stat has no usage_usec")),
        }
    }

    /// CPUs that it may use at most; `None` for as many as there are.
    ///
    /// # Errors
    /// As [`Cgroup::memory`].
    pub fn cpu_limit(&self) -> io::Result<Option<f64>> {
        let (version, folder) = self.found("cpu")?;
        let read = |name: &str| text(&folder.join(name));
        match version {
            Version::V1 => cpus(
                read("cpu.cfs_quota_us")?.trim(),
                read("cpu.cfs_period_us")?.trim(),
            ),
            Version::V2 => {
                let limit = read("cpu.max")?;
                let mut words = limit.split_ascii_whitespace();
                cpus(words.next().unwrap_or(""), words.next().unwrap_or("100000"))
            }
        }
    }

    /// The numbers of all its processes.
    ///
    /// # Errors
    /// As [`Cgroup::memory`].
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let (_, folder) = self.found("pids").or_else(|_| self.found("memory"))?;
        let list = text(&folder.join("cgroup.procs"))?;
        Ok(list.lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn found(&self, controller: &str) -> io::Result<(Version, &Path)> {
        self.folder(controller).ok_or_else(|| {
            let message = format!("this host has no cgroups with {controller}");
            io::Error::new(io::ErrorKind::Unsupported, message)
        })
    }

    /// From the text of a process's `cgroup` and of our `mountinfo`.
    fn parse(groups: &str, mounts: &str) -> Self {
        let mut found = Self::default();
        let mounts: Vec<Mounted> = mounts.lines().filter_map(Mounted::parse).collect();
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if controllers.is_empty() {
                let mount = mounts.iter().find(|mount| mount.version == Version::V2);
                found.v2 = mount.and_then(|mount| mount.folder(path));
                continue;
            }
            for controller in controllers.split(',') {
                let mount = mounts.iter().find(|mount| mount.has(controller));
                if let Some(folder) = mount.and_then(|mount| mount.folder(path)) {
                    found.v1.insert(controller.to_owned(), folder);
                }
            }
        }
        found
    }
}

/// A hierarchy that is mounted.
#[derive(Debug)]
struct Mounted<'a> {
    version: Version,
    /// The group that is shown at the mount point.
    root: String,
    point: String,
    /// Its controllers are among these.
    options: &'a str,
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let version = match after.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        Some(Self {
            version,
            root: plain(root),
            point: plain(point),
            options: after.nth(1)?,
        })
    }

    fn has(&self, controller: &str) -> bool {
        self.version == Version::V1 && self.options.split(',').any(|option| option == controller)
    }

    /// Where the group is to be seen; `None` where it is not below what is mounted.
    fn folder(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        let within = path.strip_prefix(&self.root).ok()?;
        let climbs = within
            .components()
            .any(|part| matches!(part, std::path::Component::ParentDir));
        (!climbs).then(|| Path::new(&self.point).join(within))
    }
}

/// As mountinfo writes it, with spaces and their like in octal.
fn plain(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

fn memory(
    used: &str,
    limit: &str,
    inactive_file: Option<u64>,
    kills: Option<u64>,
) -> io::Result<MemoryUse> {
    let limit = match limit.trim() {
        "max" => None,
        limit => Some(number(limit)?).filter(|limit| *limit < UNLIMITED),
    };
    Ok(MemoryUse {
        used: number(used)?.saturating_sub(inactive_file.unwrap_or(0)),
        limit,
        kills: kills.unwrap_or(0),
    })
}

/// From microseconds that may be used in so many.
fn cpus(quota: &str, period: &str) -> io::Result<Option<f64>> {
    if quota == "max" || quota == "-1" {
        return Ok(None);
    }
    let (quota, period) = (number(quota)?, number(period)?);
    Ok((period > 0).then(|| quota as f64 / period as f64))
}

/// Of lines `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok()).flatten()
    })
}

fn number(text: &str) -> io::Result<u64> {
    let text = text.trim();
    text.parse().map_err(|_| {
        odd(&format!(
            "{:?} is no number",
            text.get(..50).unwrap_or(text)
        ))
    })
}

fn odd(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MOST)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f7e6d5c4b3a29181706f5e4d3c2b1a0998877665544332211009988776655ff";

    fn write(folder: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_groups_of_version_2_are_found() {
        let mounts = "25 1 0:22 / /proc rw - proc proc rw\n\
            30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let path = format!("/system.slice/docker-{ID}.scope");
        let group = Cgroup::parse(&format!("0::{path}\n"), mounts);
        let folder = PathBuf::from(format!("/sys/fs/cgroup{path}"));
        for controller in ["memory", "cpuacct", "freezer"] {
            let found = group.folder(controller);
            assert_eq!(found, Some((Version::V2, folder.as_path())));
        }
        assert!(group.is_of(&ContainerId(ID.into())));
        assert!(!group.is_of(&ContainerId("0".repeat(64))));
        assert!(!group.is_of(&ContainerId(String::new())));
    }

    #[test]
    fn the_groups_of_version_1_are_found_beside_those_of_2() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = format!(
            "9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n"
        );
        let group = Cgroup::parse(&groups, mounts);
        let at = |controller: &str| {
            let (version, folder) = group.folder(controller).unwrap();
            let folder = folder.to_str().unwrap().strip_suffix(ID).unwrap();
            (version, folder.to_owned())
        };
        let cpu = "/sys/fs/cgroup/cpu,cpuacct/docker/".to_owned();
        assert_eq!(at("cpuacct"), (Version::V1, cpu.clone()));
        assert_eq!(at("cpu"), (Version::V1, cpu));
        assert_eq!(
            at("memory"),
            (Version::V1, "/sys/fs/cgroup/memory/docker/".into())
        );
        // Not mounted as version 1.
        assert_eq!(
            at("freezer"),
            (Version::V2, "/sys/fs/cgroup/unified/docker/".into())
        );
    }

    #[test]
    fn what_is_mounted_of_a_subtree_is_found_and_what_is_out_of_sight_is_not() {
        let mounts =
            "30 23 0:26 /docker/outer /sys/fs/cgroup\\040x rw - cgroup2 cgroup2 rw\nshort line\n";
        let found = |path: &str| {
            let group = Cgroup::parse(&format!("0::{path}\nodd\n"), mounts);
            group.folder("memory").map(|(_, folder)| folder.to_owned())
        };
        assert_eq!(
            found("/docker/outer/docker/a"),
            Some(PathBuf::from("/sys/fs/cgroup x/docker/a"))
        );
        assert_eq!(found("/docker/other"), None);
        assert_eq!(found("/docker/outer/../other"), None);
        assert_eq!(Cgroup::parse("", "").folder("memory"), None);
        let error = Cgroup::default().memory().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn files_of_version_2_are_read() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                ("memory.current", "104857600\n"),
                ("memory.max", "536870912\n"),
                (
                    "memory.stat",
                    "anon 90000000\nfile 14857600\ninactive_file 4857600\n",
                ),
                (
                    "memory.events",
                    "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n",
                ),
                (
                    "cpu.stat",
                    "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
                ),
                ("cpu.max", "50000 100000\n"),
            ],
        );
        let group = Cgroup {
            v2: Some(folder.path().to_owned()),
            ..Cgroup::default()
        };
        let memory = MemoryUse {
            used: 100_000_000,
            limit: Some(512 << 20),
            kills: 2,
        };
        assert_eq!(group.memory().unwrap(), memory);
        assert_eq!(group.cpu_time().unwrap(), Duration::from_millis(1500));
        assert_eq!(group.cpu_limit().unwrap(), Some(0.5));
        write(
            folder.path(),
            &[("memory.max", "max\n"), ("cpu.max", "max 100000\n")],
        );
        assert_eq!(group.memory().unwrap().limit, None);
        assert_eq!(group.cpu_limit().unwrap(), None);
    }

    #[test]
    fn files_of_version_1_are_read() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                ("memory.usage_in_bytes", "104857600\n"),
                ("memory.limit_in_bytes", "536870912\n"),
                (
                    "memory.stat",
                    "cache 1\ninactive_file 7\ntotal_inactive_file 4857600\n",
                ),
                (
                    "memory.oom_control",
                    "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
                ),
                ("cpuacct.usage", "1500000000\n"),
                ("cpu.cfs_quota_us", "150000\n"),
                ("cpu.cfs_period_us", "100000\n"),
            ],
        );
        let v1 = ["memory", "cpu", "cpuacct"]
            .map(|controller| (controller.to_owned(), folder.path().to_owned()))
            .into();
        let group = Cgroup { v1, v2: None };
        let memory = MemoryUse {
            used: 100_000_000,
            limit: Some(512 << 20),
            kills: 3,
        };
        assert_eq!(group.memory().unwrap(), memory);
        assert_eq!(group.cpu_time().unwrap(), Duration::from_millis(1500));
        assert_eq!(group.cpu_limit().unwrap(), Some(1.5));
        write(
            folder.path(),
            &[
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("cpu.cfs_quota_us", "-1\n"),
            ],
        );
        assert_eq!(group.memory().unwrap().limit, None);
        assert_eq!(group.cpu_limit().unwrap(), None);
    }

    #[test]
    fn a_group_that_is_gone_or_says_odd_things_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let group = Cgroup {
            v2: Some(folder.path().to_owned()),
            ..Cgroup::default()
        };
        let kind = || group.memory().unwrap_err().kind();
        assert_eq!(kind(), io::ErrorKind::NotFound);
        write(
            folder.path(),
            &[
                ("memory.current", "many"),
                ("memory.max", "max"),
                ("memory.stat", ""),
                ("memory.events", ""),
                ("cpu.stat", "nr_periods 0\n"),
            ],
        );
        assert_eq!(kind(), io::ErrorKind::InvalidData);
        assert!(group.cpu_time().is_err());
        assert!(Cgroup::of(u32::MAX).is_err());
    }

    #[test]
    fn our_own_groups_are_read() {
        let group = Cgroup::of(std::process::id()).unwrap();
        // In the root group, or without cgroups, nothing is counted.
        if let Ok(memory) = group.memory() {
            assert!(memory.used > 0);
        }
    }
}
