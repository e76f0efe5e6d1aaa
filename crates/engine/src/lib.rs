//! Containers on Linux hosts: the verbs that builder and scheduler need, over Docker Engine.
//!
//! Architecture invariant: only `docker.rs` names bollard. Nothing here decides anything: which container runs
//! where and why is the scheduler's and the builder's business. Every call has a deadline.
//!
//! # Layout
//! `container.rs` says what a container is to us; `docker.rs` has the verbs on Docker Engine and `fake.rs` the same in
//! memory for tests; `firewall.rs` keeps dynos from the host, `listen.rs` tells what one has bound and `cgroup.rs` what
//! it uses, `freezer.rs` stops one where it is, `waiting.rs` is for containers that start before it is known what for, and `process.rs` holds on to one that
//! runs.

pub mod cgroup;
pub mod container;
pub(crate) mod docker;
mod error;
pub mod fake;
pub mod firewall;
mod freezer;
#[doc(hidden)]
pub mod fuzz;
mod image;
pub mod listen;
mod process;
pub mod waiting;

pub use cgroup::Cgroup;
pub use container::*;
pub use docker::DockerEngine;
pub use error::EngineError;
pub use firewall::Firewall;
pub use image::ImageIds;
pub use process::FirstProcess;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;

pub type Result<T> = std::result::Result<T, EngineError>;
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What runs containers. One implementation talks to Docker Engine, one (for tests) keeps them in memory.
///
/// All objects carry the label `ropewalk.instance`, and listing verbs see only those of their own instance.
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// Version, capacity and features of the host's engine. Also the health probe: answers within 5 s or fails.
    fn info(&self) -> BoxFuture<'_, Result<EngineInfo>>;

    /// Loads the images of a `docker load` archive.
    fn load_image<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Result<()>>;
    /// Whether an image is there. See [`ImageIds`] for the names of one.
    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<bool>>;
    /// Removes an image; not being there is success.
    fn remove_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Makes the bridge network unless it is there.
    fn ensure_network<'a>(&'a self, network: &'a NetworkSpec) -> BoxFuture<'a, Result<()>>;
    /// Names of this instance's networks.
    fn networks(&self) -> BoxFuture<'_, Result<Vec<String>>>;
    /// Removes a network; not being there is success.
    fn remove_network<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Makes a container without starting it. A container of that name already there is [`EngineError::Conflict`].
    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<ContainerId>>;
    /// Starts a container; one that runs already is success.
    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>>;
    /// Takes hold of the first process of a container that runs.
    fn hold<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<FirstProcess>>;
    /// Shows folders and files of the host in a running container, in this order; what is not there to be mounted upon
    /// is made. Only while nothing in the container runs that is not trusted. Needs Linux 5.2. Does not ask the engine.
    fn furnish<'a>(
        &'a self,
        process: &'a FirstProcess,
        mounts: &'a [Mount],
    ) -> BoxFuture<'a, Result<()>>;
    /// Gives a container another name; one that is taken is [`EngineError::Conflict`].
    fn rename<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> BoxFuture<'a, Result<()>>;
    /// Sends a signal (`TERM`, `KILL`, `HUP`, …) to the container's first process; one that ended is success.
    fn signal<'a>(&'a self, id: &'a ContainerId, signal: &'a str) -> BoxFuture<'a, Result<()>>;
    /// SIGTERM, then SIGKILL after `grace`. Returns when it has ended; tells whether the kill was needed.
    fn stop<'a>(&'a self, id: &'a ContainerId, grace: Duration) -> BoxFuture<'a, Result<Stopped>>;
    /// Kills if need be and removes; not being there is success.
    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>>;
    /// Stops all processes of a container where they are, at once and until [`Engine::thaw`]; one that is frozen is
    /// success. The other verbs that need its processes ([`Engine::signal`], [`Engine::stop`], [`Engine::remove`],
    /// [`Engine::attach`], [`Engine::exec`]) thaw it first. Does not ask the engine, which takes it for running.
    fn freeze<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>>;
    /// Lets them go on; what is not frozen, or does not run, is success. Does not ask the engine.
    fn thaw<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>>;
    /// Gives back memory that a frozen container does not need, where the kernel can. May take seconds.
    fn reclaim<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>>;
    /// Every container of this instance, ended ones too. One that the engine cannot tell about is
    /// [`Status::Unknown`] and fails nothing else.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Container>>>;
    /// One container in full; `None` when it is not there.
    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Option<Container>>>;
    /// Waits until it has ended. No deadline of its own.
    fn wait<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Exit>>;
    /// Waits until none of a container's processes is left, which is known sooner than how it ended: for when its end is
    /// near. No deadline of its own.
    fn gone<'a>(&'a self, process: &'a FirstProcess) -> BoxFuture<'a, Result<()>>;

    /// Output since a time (seconds and nanoseconds since the epoch; `None` is all), then as it comes when
    /// `follow`. Ends when the container has ended. Chunks need not be whole lines.
    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        since: Option<(i64, i32)>,
        follow: bool,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Output>>>>;
    /// Input and output of the container's first process; attach before start so that nothing is lost.
    fn attach<'a>(&'a self, id: &'a ContainerId, tty: bool) -> BoxFuture<'a, Result<Attached>>;
    /// Runs another process in a running container, attached.
    fn exec<'a>(&'a self, id: &'a ContainerId, exec: &'a ExecSpec) -> BoxFuture<'a, Result<Exec>>;
    fn resize<'a>(
        &'a self,
        id: &'a ContainerId,
        rows: u16,
        columns: u16,
    ) -> BoxFuture<'a, Result<()>>;
    fn resize_exec<'a>(
        &'a self,
        exec: &'a str,
        rows: u16,
        columns: u16,
    ) -> BoxFuture<'a, Result<()>>;
    /// How an exec ended; `None` while it runs. Ended with its container, it may be [`EngineError::NotFound`].
    fn exec_exit<'a>(&'a self, exec: &'a str) -> BoxFuture<'a, Result<Option<i64>>>;
    /// Sends HUP, INT, QUIT, TERM, KILL, USR1 or USR2 to an exec's process group; one that ended is success.
    fn signal_exec<'a>(&'a self, exec: &'a str, signal: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Starts, ends and out-of-memory events of this instance's containers, from now on. The stream ends when the
    /// engine goes away; whoever reads it lists everything again then, for events are hints and never the truth.
    fn events(&self) -> BoxFuture<'_, Result<BoxStream<Result<Event>>>>;
    fn stats<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Stats>>;
}
