//! What a container is to us: how one is asked for, and how one is seen.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use jiff::Timestamp;
use ropewalk_model::InstanceId;
use tokio::io::AsyncWrite;

use crate::{BoxStream, Result};

/// The label by which every object of ours is found.
pub const LABEL_INSTANCE: &str = "ropewalk.instance";

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bridge of ours. Containers on it cannot reach one another (ICC off).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Also the name of the bridge device: at most 15 bytes.
    pub name: String,
    /// `None` lets the engine choose from its pools.
    pub subnet: Option<String>,
}

/// A container to be made. Always: all capabilities dropped, no-new-privileges, the engine's default seccomp
/// profile, an init process that reaps zombies, no core dumps, no published port, no restart by the engine.
#[derive(Clone, Default)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// `ropewalk.instance` is added by the engine.
    pub labels: BTreeMap<String, String>,
    /// Entrypoint and arguments, never a shell string.
    pub command: Vec<String>,
    /// Never shown by `Debug`: holds config vars.
    pub env: Vec<(String, String)>,
    /// `uid:gid`.
    pub user: String,
    pub working_dir: String,
    pub hostname: String,
    pub mounts: Vec<Mount>,
    pub tmpfs: Vec<Tmpfs>,
    /// `None` is no network at all.
    pub network: Option<String>,
    pub limits: Limits,
    pub tty: bool,
    pub open_stdin: bool,
}

impl fmt::Debug for ContainerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSpec")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("labels", &self.labels)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// A bind mount from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    pub target: String,
    pub size_mib: u64,
    /// `true` lets files on it be executed.
    pub exec: bool,
}

/// What a container may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes; swap is not added. 0 is no limit.
    pub memory: u64,
    /// Relative weight, 1024 is Docker's default; 0 leaves the default.
    pub cpu_shares: u32,
    /// Thousandths of a core; 0 is no limit.
    pub cpu_millis: u32,
    pub pids: u32,
    /// Relative IO weight 10 to 1000; 0 leaves the default. Ignored where the kernel has no such control.
    pub io_weight: u16,
    /// `/dev/shm`, in MiB; 0 leaves the default.
    pub shm_mib: u64,
    /// Soft and hard limit of open files; 0 leaves the default.
    pub open_files: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Exited,
    /// Being removed, restarting or dead: not to be counted on.
    Other,
    /// The engine lists it but does not tell in time what it is doing. Only its id, name and labels are known.
    Unknown,
}

/// A container as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: ContainerId,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub image: String,
    pub status: Status,
    /// On its network, while running.
    pub ip: Option<IpAddr>,
    /// Host pid of the first process, while running.
    pub pid: Option<u32>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// How it ended, when `Exited`.
    pub exit: Option<Exit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: i64,
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// SIGTERM was not enough.
    pub killed: bool,
    pub exit: Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stream: OutputStream,
    /// When the engine got it; absent on attached streams.
    pub at: Option<Timestamp>,
    pub bytes: Bytes,
}

pub struct Attached {
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// With a tty everything comes as stdout.
    pub output: BoxStream<Result<Output>>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attached")
    }
}

#[derive(Clone, Default)]
pub struct ExecSpec {
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    pub user: String,
    pub working_dir: String,
    pub tty: bool,
}

impl fmt::Debug for ExecSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSpec")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub struct Exec {
    pub id: String,
    pub attached: Attached,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub container: ContainerId,
    pub kind: EventKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Started,
    Ended,
    OutOfMemory,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    pub memory_bytes: u64,
    /// Total CPU time used, in nanoseconds.
    pub cpu_nanos: u64,
    pub pids: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    pub version: String,
    pub api_version: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub cgroup_version: u8,
    pub storage_driver: String,
    pub live_restore: bool,
    /// It is a node of a swarm, or was told to be and cannot at the moment. Live-restore does not go with that.
    pub swarm: bool,
    pub data_root: PathBuf,
    pub architecture: String,
}

/// Which instance an engine handle acts for.
#[derive(Debug, Clone)]
pub struct Scope {
    pub instance: InstanceId,
}
