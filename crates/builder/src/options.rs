//! What an operator may choose about builds, with the limits that hold otherwise.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ropewalk_model::{AppName, InstanceId};

const GIB: u64 = 1 << 30;

#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; must be on one file system.
    pub data: PathBuf,
    pub instance: InstanceId,
    /// Folder of the built-in buildpacks.
    pub buildpacks: PathBuf,
    /// Program and arguments that run [`crate::hook_main`] on the socket which [`crate::Builder::serve_hooks`]
    /// listens on. Absolute path first.
    pub hook_command: Vec<String>,
    pub urls: AppUrls,
    /// The server's own environment, read once by the program: `PATH` for git, and what builds inherit.
    pub environment: BTreeMap<String, String>,
    /// Whether builds get the host's CA bundle, proxies and package index settings.
    pub inherit: bool,
    pub limits: Limits,
}

/// How an app's address is written: `<scheme>://<app>.<suffix>/`.
#[derive(Debug, Clone)]
pub struct AppUrls {
    pub scheme: String,
    /// Domain with `:port` where the port is not the scheme's own.
    pub suffix: String,
}

impl AppUrls {
    pub fn of(&self, app: &AppName) -> String {
        format!("{}://{app}.{}/", self.scheme, self.suffix)
    }
}

/// Every limit of pushes and builds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest pack a push may send, in bytes.
    pub push_bytes: u64,
    /// Pushes under way at once on this host, waiting ones too.
    pub pushes: usize,
    /// Fetches and clones under way at once on this host.
    pub fetches: usize,
    /// Longest time from a push's first byte until everything is received and checked.
    pub receive: Duration,
    /// Longest fetch or clone.
    pub fetch: Duration,
    /// Refs that one push may change.
    pub refs: usize,
    /// Builds under way at once on this host; others wait in line.
    pub builds: usize,
    /// Builds that may wait; more are refused.
    pub waiting: usize,
    /// Files and links in what is pushed.
    pub source_files: u64,
    /// Bytes of all files that are pushed together.
    pub source_bytes: u64,
    /// Longest run of all buildpacks together.
    pub build: Duration,
    /// How long after a build a container waits for the next one, so that it starts at once; zero is not at all.
    pub ready: Duration,
    /// Memory of a build in bytes; 0 is 2 GiB, or half of the host's where that is less.
    pub memory: u64,
    /// Processes and threads of a build.
    pub pids: u32,
    /// No build starts, and a running one is ended, when less than this is free on the data directory's disk.
    pub disk_floor: u64,
    /// An app's build cache above this is thrown away, in files and links.
    pub cache_files: u64,
    /// An app's build cache above this is thrown away, in bytes.
    pub cache_bytes: u64,
    /// Longest wait for a release to take effect; its release command alone may take an hour.
    pub release: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            push_bytes: 2 * GIB,
            pushes: 32,
            fetches: 16,
            receive: Duration::from_secs(600),
            fetch: Duration::from_secs(1800),
            refs: 10_000,
            builds: 2,
            waiting: 16,
            source_files: 100_000,
            source_bytes: 2 * GIB,
            build: Duration::from_secs(15 * 60),
            ready: Duration::from_secs(10 * 60),
            memory: 0,
            pids: 4096,
            disk_floor: 5 * GIB,
            cache_files: 500_000,
            cache_bytes: 8 * GIB,
            release: Duration::from_secs(65 * 60),
        }
    }
}
