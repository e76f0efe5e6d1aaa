//! What web dynos that boot have bound: looked at often, between the passes, for it is what everybody waits for.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ropewalk_engine::listen::Listeners;
use ropewalk_model::DynoId;

use crate::plan::serves;
use crate::reconcile::Shared;

/// Between two looks at one dyno.
const LOOK: Duration = Duration::from_millis(10);

/// By dyno. Each holds its network namespace, so none is kept longer than its dyno boots.
#[derive(Debug, Default)]
pub(crate) struct Ports(Mutex<HashMap<DynoId, Arc<Listeners>>>);

impl Ports {
    fn all(&self) -> MutexGuard<'_, HashMap<DynoId, Arc<Listeners>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a dyno whose first process is `pid` has bound; nothing when it cannot be told.
    pub(crate) fn bound(&self, dyno: DynoId, pid: u32) -> Vec<SocketAddr> {
        let known = self.all().get(&dyno).cloned();
        let listeners = known
            .filter(|listeners| listeners.pid() == pid)
            .unwrap_or_else(|| {
                let new = Arc::new(Listeners::of(pid));
                self.all().insert(dyno, new.clone());
                new
            });
        listeners.now().unwrap_or_default()
    }

    /// Forgets all but these.
    pub(crate) fn keep(&self, booting: &HashSet<DynoId>) {
        self.all().retain(|dyno, _| booting.contains(dyno));
    }
}

/// Returns as soon as one of these serves: dynos and their first processes. Never when there are none.
pub(crate) async fn one_serves(shared: &Shared, booting: &[(DynoId, u32)]) {
    if booting.is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK).await;
        let bound = |(dyno, pid): &(DynoId, u32)| serves(&shared.ports.bound(*dyno, *pid));
        if booting.iter().any(bound) {
            return;
        }
    }
}
