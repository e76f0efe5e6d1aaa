//! Keeps the router's certificates as the ledger has them.

use std::convert::Infallible;
use std::time::Duration;

use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{Certificate, Challenge};
use ropewalk_scheduler::Routes;
use ropewalk_store::Store;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest time between two looks.
const PERIOD: Duration = Duration::from_secs(60);
/// How long a request waits for the routers to serve by what it changed.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct Keeper {
    store: Store,
    routes: Routes,
    signal: Notify,
    /// One look at a time: what was read first must not be published last.
    turn: Mutex<()>,
}

impl Keeper {
    pub(super) fn new(store: Store, routes: Routes) -> Self {
        Self {
            store,
            routes,
            signal: Notify::new(),
            turn: Mutex::default(),
        }
    }

    /// Looks on every signal and now and then, until `shutdown`.
    pub(super) async fn keep(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            self.look().await;
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.signal.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// They changed: look again, whether anybody waits or not.
    pub(super) fn changed(&self) {
        self.signal.notify_one();
    }

    /// Looks, and waits until new connections get what was seen, but at most for [`SETTLED_WITHIN`]. Nobody is waited
    /// for where no router is.
    pub(super) async fn settled(&self) {
        let settled = async {
            self.look().await;
            self.routes.certified().await;
        };
        let _ = timeout(SETTLED_WITHIN, settled).await;
    }

    /// Hands routers what they answer to authorities, in the place of what they had; `false` when the ledger cannot be
    /// read, for without certificates a router would forget its own.
    pub(super) async fn publish_challenges(&self, challenges: Vec<Challenge>) -> bool {
        self.look().await;
        self.routes.publish_challenges(challenges)
    }

    /// Waits until there is a router and every one answers by what is the newest.
    pub(super) async fn answering(&self) {
        self.routes.answering().await;
    }

    async fn look(&self) {
        let _turn = self.turn.lock().await;
        match served(&self.store).await {
            Ok(endpoints) => self.routes.publish_certificates(endpoints),
            Err(error) => tracing::warn!(%error, "The certificates could not be read."),
        }
    }
}

async fn served(store: &Store) -> ropewalk_store::Result<Vec<Certificate>> {
    let rows = store.read(|view| view.served_certificates()).await?;
    let endpoints = rows.into_iter().map(|served| Certificate {
        hosts: served.hosts,
        chain: served.certificate_chain,
        key: Secret(served.private_key.to_string()),
    });
    Ok(endpoints.collect())
}
