//! Docker Engine behind the [`Engine`] verbs: one HTTP request on its Unix socket for most, a deadline on each.
//!
//! Nothing is remembered between calls but two facts of the host, so a restarted server needs nothing from here and a
//! restarted Docker Engine is found again by the next call. What bollard cannot carry (attached streams byte for byte,
//! log times to the nanosecond) goes through `stream.rs`, which speaks to the same socket.

mod containers;
mod exec;
mod failure;
pub(crate) mod frames;
mod freeze;
mod furnish;
mod host;
mod images;
mod logs;
mod seen;
mod spec;
mod stream;
mod terminate;
mod view;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::future::BoxFuture;
use ropewalk_model::InstanceId;
use tokio::sync::{Mutex, OnceCell};

use crate::container::{
    Attached, Container, ContainerId, ContainerSpec, EngineInfo, Event, Exec, ExecSpec, Exit,
    Mount, NetworkSpec, Output, Scope, Stats, Stopped,
};
use crate::{BoxStream, Engine, EngineError, FirstProcess, Result};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// bollard's own limit lies beyond every deadline of ours, so that only ours decide.
const NO_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Containers of one instance on the Docker Engine of this host.
pub struct DockerEngine {
    socket: PathBuf,
    scope: Scope,
    client: OnceLock<Docker>,
    host: OnceCell<host::Host>,
    /// Docker Engine makes two networks of one name when asked twice at once.
    making_network: Mutex<()>,
}

impl DockerEngine {
    /// An engine on a Unix socket: `socket` as a path or `unix://` address, else what DOCKER_HOST says, else the
    /// usual place. Nothing is sent yet: Docker Engine may be down now and answer later.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when the address is of another kind (`tcp://`, `ssh://`): bind mounts and dyno
    /// addresses have a meaning on this host alone.
    pub fn connect(socket: Option<&str>, instance: InstanceId) -> Result<Self> {
        let address = match socket {
            Some(given) => given.to_owned(),
            None => match std::env::var("DOCKER_HOST") {
                Ok(host) if !host.is_empty() => host,
                _ => DEFAULT_SOCKET.to_owned(),
            },
        };
        let path = address.strip_prefix("unix://").unwrap_or(&address);
        if !path.starts_with('/') {
            return Err(EngineError::Unreachable(format!(
                "{address} is not a Unix socket on this host"
            )));
        }
        Ok(Self {
            socket: PathBuf::from(path),
            scope: Scope { instance },
            client: OnceLock::new(),
            host: OnceCell::new(),
            making_network: Mutex::new(()),
        })
    }

    /// The client, made once the socket exists.
    fn client(&self) -> Result<&Docker> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Docker::connect_with_unix(
            &self.socket.to_string_lossy(),
            NO_LIMIT.as_secs(),
            API_DEFAULT_VERSION,
        )
        .map_err(|error| EngineError::Unreachable(error.to_string()))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// `key=value` of the label that every object of ours carries.
    fn label_filter(&self) -> String {
        format!("{}={}", crate::LABEL_INSTANCE, self.scope.instance)
    }
}

impl std::fmt::Debug for DockerEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerEngine")
            .field("socket", &self.socket)
            .field("instance", &self.scope.instance)
            .finish_non_exhaustive()
    }
}

impl Engine for DockerEngine {
    fn info(&self) -> BoxFuture<'_, Result<EngineInfo>> {
        Box::pin(self.read_info())
    }

    fn load_image<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.load_archive(archive))
    }

    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.find_image(image))
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.delete_image(image))
    }

    fn ensure_network<'a>(&'a self, network: &'a NetworkSpec) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.make_network(network))
    }

    fn networks(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.list_networks())
    }

    fn remove_network<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.delete_network(name))
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> BoxFuture<'a, Result<ContainerId>> {
        Box::pin(self.create_container(spec))
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.start_container(id))
    }

    fn hold<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<FirstProcess>> {
        Box::pin(self.hold_container(id))
    }

    fn furnish<'a>(
        &'a self,
        process: &'a FirstProcess,
        mounts: &'a [Mount],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(furnish::furnish(process, mounts))
    }

    fn rename<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.rename_container(id, name))
    }

    fn signal<'a>(&'a self, id: &'a ContainerId, signal: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.thaw_first(id).await?;
            self.deliver(id, signal).await.map(|_| ())
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace: Duration) -> BoxFuture<'a, Result<Stopped>> {
        Box::pin(async move {
            self.thaw_first(id).await?;
            self.stop_container(id, grace).await
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.thaw_first(id).await?;
            self.remove_container(id).await
        })
    }

    fn freeze<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>> {
        Box::pin(freeze::freeze(container))
    }

    fn thaw<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>> {
        Box::pin(freeze::thaw(container))
    }

    fn reclaim<'a>(&'a self, container: &'a Container) -> BoxFuture<'a, Result<()>> {
        Box::pin(freeze::reclaim(container))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Container>>> {
        Box::pin(self.list_containers())
    }

    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Option<Container>>> {
        Box::pin(self.inspect_container(id))
    }

    fn wait<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Exit>> {
        Box::pin(self.wait_container(id))
    }

    fn gone<'a>(&'a self, process: &'a FirstProcess) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.container_gone(process))
    }

    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        since: Option<(i64, i32)>,
        follow: bool,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Output>>>> {
        Box::pin(self.read_logs(id, since, follow))
    }

    fn attach<'a>(&'a self, id: &'a ContainerId, tty: bool) -> BoxFuture<'a, Result<Attached>> {
        Box::pin(async move {
            self.thaw_first(id).await?;
            self.attach_container(id, tty).await
        })
    }

    fn exec<'a>(&'a self, id: &'a ContainerId, exec: &'a ExecSpec) -> BoxFuture<'a, Result<Exec>> {
        Box::pin(async move {
            self.thaw_first(id).await?;
            self.run_exec(id, exec).await
        })
    }

    fn resize<'a>(
        &'a self,
        id: &'a ContainerId,
        rows: u16,
        columns: u16,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.resize_container(id, rows, columns))
    }

    fn resize_exec<'a>(
        &'a self,
        exec: &'a str,
        rows: u16,
        columns: u16,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.resize_running_exec(exec, rows, columns))
    }

    fn exec_exit<'a>(&'a self, exec: &'a str) -> BoxFuture<'a, Result<Option<i64>>> {
        Box::pin(self.read_exec_exit(exec))
    }

    fn signal_exec<'a>(&'a self, exec: &'a str, signal: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.signal_running_exec(exec, signal))
    }

    fn events(&self) -> BoxFuture<'_, Result<BoxStream<Result<Event>>>> {
        Box::pin(self.subscribe())
    }

    fn stats<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<Stats>> {
        Box::pin(self.read_stats(id))
    }
}
