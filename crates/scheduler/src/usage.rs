//! How much memory dynos use, asked of the engine when somebody wants to know; and what the kernel counts of them, which
//! is cheap enough to be looked at all the time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use ropewalk_engine::{Cgroup, ContainerId, Status};
use ropewalk_model::DynoId;

use crate::reconcile::Scheduler;

/// Dynos that are asked for at once.
const PARALLEL: usize = 8;
/// For all of them; who has not answered by then is left out.
const WITHIN: Duration = Duration::from_secs(5);

/// What a dyno uses, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Bytes, without cached files that nobody has needed lately.
    pub memory: u64,
    /// Of all its processes, since it began.
    pub cpu_time: Duration,
    /// CPUs that it may use at most; `None` for as many as there are.
    pub cpu_limit: Option<f64>,
}

impl Scheduler {
    /// What each of these dynos uses. Those that do not run, or whose counts cannot be read, are left out.
    pub async fn usage_of(&self, dynos: &[DynoId]) -> BTreeMap<DynoId, Usage> {
        let running: Vec<(DynoId, ContainerId, u32)> = {
            let memory = self.shared.memory();
            let container = |id: &DynoId| {
                let container = memory.container(*id)?;
                let running = container.status == Status::Running;
                running.then(|| Some((*id, container.id.clone(), container.pid?)))?
            };
            dynos.iter().filter_map(container).collect()
        };
        let read = move || {
            let of = |(dyno, container, pid): (DynoId, ContainerId, u32)| {
                let usage = usage(&container, pid);
                if let Err(error) = &usage {
                    tracing::debug!(%dyno, %error, "What a dyno uses could not be read.");
                }
                Some((dyno, usage.ok()?))
            };
            running.into_iter().filter_map(of).collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    /// Where those of these dynos are reached that run.
    pub fn addresses_of(&self, dynos: &[DynoId]) -> BTreeMap<DynoId, IpAddr> {
        let memory = self.shared.memory();
        let address = |id: &DynoId| {
            let container = memory.container(*id)?;
            let running = container.status == Status::Running;
            running.then(|| Some((*id, container.ip?)))?
        };
        dynos.iter().filter_map(address).collect()
    }

    /// Bytes that each of these dynos uses. Those that do not run, or that the engine tells nothing of, are left out.
    pub async fn memory_of(&self, dynos: &[DynoId]) -> BTreeMap<DynoId, u64> {
        let running: Vec<_> = {
            let memory = self.shared.memory();
            let container = |id: &DynoId| {
                let container = memory.container(*id)?;
                (container.status == Status::Running).then(|| (*id, container.id.clone()))
            };
            dynos.iter().filter_map(container).collect()
        };
        let asked = running.into_iter().map(|(dyno, container)| async move {
            let stats = self.shared.engine.stats(&container).await;
            stats.ok().map(|stats| (dyno, stats.memory_bytes))
        });
        futures_util::stream::iter(asked)
            .buffer_unordered(PARALLEL)
            .take_until(tokio::time::sleep(WITHIN))
            .filter_map(std::future::ready)
            .collect()
            .await
    }
}

fn usage(container: &ContainerId, pid: u32) -> std::io::Result<Usage> {
    let group = Cgroup::of(pid)?;
    if !group.is_of(container) {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    Ok(Usage {
        memory: group.memory()?.used,
        cpu_time: group.cpu_time()?,
        cpu_limit: group.cpu_limit()?,
    })
}
