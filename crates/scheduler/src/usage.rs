//! How much memory dynos use, asked of the engine when somebody wants to know.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use ropewalk_engine::Status;
use ropewalk_model::DynoId;

use crate::reconcile::Scheduler;

/// Dynos that are asked for at once.
const PARALLEL: usize = 8;
/// For all of them; who has not answered by then is left out.
const WITHIN: Duration = Duration::from_secs(5);

impl Scheduler {
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
