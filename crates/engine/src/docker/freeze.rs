//! Freezing and thawing a container by its cgroup, found by the number of its first process.

use std::io::{self, ErrorKind};

use super::DockerEngine;
use crate::cgroup::Cgroup;
use crate::container::{Container, ContainerId};
use crate::{EngineError, Result};

impl DockerEngine {
    /// What is asked of a container that is frozen would wait until it goes on.
    pub(super) async fn thaw_first(&self, id: &ContainerId) -> Result<()> {
        match self.inspect_container(id).await? {
            Some(container) => thaw(&container).await,
            None => Ok(()),
        }
    }
}

pub(super) async fn freeze(container: &Container) -> Result<()> {
    let Some(pid) = container.pid else {
        return Err(failed("freeze", container, ErrorKind::NotFound.into()));
    };
    act("freeze", container, pid, Cgroup::freeze).await
}

pub(super) async fn thaw(container: &Container) -> Result<()> {
    let Some(pid) = container.pid else {
        return Ok(());
    };
    let thaw = |cgroup: &Cgroup| match cgroup.is_frozen() {
        // Nothing can be frozen where there is no freezer.
        Ok(false) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Ok(true) | Err(_) => cgroup.thaw(),
    };
    match act("thaw", container, pid, thaw).await {
        // It has ended meanwhile.
        Err(EngineError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
        thawed => thawed,
    }
}

pub(super) async fn reclaim(container: &Container) -> Result<()> {
    let Some(pid) = container.pid else {
        return Ok(());
    };
    let reclaim = |cgroup: &Cgroup| match has_swap() && cgroup.is_frozen()? {
        true => cgroup.reclaim(),
        // Without swap it is cached files alone, which the kernel takes by itself when it needs memory; to have them
        // taken now would only make waking slow.
        false => Ok(()),
    };
    act("reclaim memory of", container, pid, reclaim).await
}

fn has_swap() -> bool {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("SwapTotal:"));
    total.is_some_and(|total| !total.trim_start().starts_with("0 "))
}

async fn act(
    verb: &'static str,
    container: &Container,
    pid: u32,
    act: impl FnOnce(&Cgroup) -> io::Result<()> + Send + 'static,
) -> Result<()> {
    let id = container.id.clone();
    let done = tokio::task::spawn_blocking(move || {
        let cgroup = Cgroup::of(pid)?;
        match cgroup.is_of(&id) {
            true => act(&cgroup),
            // A number that went to another process.
            false => Err(ErrorKind::NotFound.into()),
        }
    });
    let done = done
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| failed(verb, container, error))
}

fn failed(verb: &'static str, container: &Container, source: io::Error) -> EngineError {
    EngineError::Io {
        verb,
        path: container.name.clone(),
        source,
    }
}
