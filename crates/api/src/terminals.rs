//! By whose right each attached dyno was started, for whoever serves its terminal: the API's WebSocket, or rendezvous.
//!
//! In memory, as the secrets are that dynos are attached by.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_store::Store;

use crate::grant::{Grant, Need};

/// Longer than any dyno waits for its terminal.
const LIFE: Duration = Duration::from_secs(600);

/// Clones share it.
#[derive(Clone)]
pub struct Terminals(Arc<Inner>);

struct Inner {
    store: Store,
    given: Mutex<HashMap<String, (Grant, Instant)>>,
}

impl fmt::Debug for Terminals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Terminals")
    }
}

impl Terminals {
    pub fn new(store: Store) -> Self {
        let given = Mutex::default();
        Self(Arc::new(Inner { store, given }))
    }

    /// The right to attach by `secret`, once: `None` when it was never given, or is lost by now.
    /// The future ends when it is lost while the terminal is open; then hang up.
    pub async fn right(&self, secret: &str) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (grant, _) = self.given().remove(secret)?;
        let store = self.0.store.clone();
        // What the ledger could not say is in the log already.
        let holds = grant.holds(&store, Need::Run).await.unwrap_or(false);
        holds.then(|| grant.lost(store, Need::Run))
    }

    pub(crate) fn give(&self, secret: &str, grant: Grant) {
        let now = Instant::now();
        let mut given = self.given();
        given.retain(|_, (_, at)| now.saturating_duration_since(*at) < LIFE);
        given.insert(secret.to_owned(), (grant, now));
    }

    fn given(&self) -> MutexGuard<'_, HashMap<String, (Grant, Instant)>> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
