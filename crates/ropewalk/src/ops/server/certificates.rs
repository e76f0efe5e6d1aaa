//! Keeps the router's certificates as the ledger has them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{Certificate, Certificates};
use ropewalk_scheduler::Routes;
use ropewalk_store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longest time between two looks.
const PERIOD: Duration = Duration::from_secs(60);

/// Looks on every signal and now and then, until `shutdown`.
pub(super) async fn keep(
    store: Store,
    routes: Routes,
    signal: Arc<Notify>,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        match served(&store).await {
            Ok(certificates) => routes.publish_certificates(certificates),
            Err(error) => tracing::warn!(%error, "The certificates could not be read."),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = signal.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn served(store: &Store) -> ropewalk_store::Result<Certificates> {
    let rows = store.read(|view| view.served_certificates()).await?;
    let endpoints = rows
        .into_iter()
        .map(|served| Certificate {
            hosts: served.hosts,
            chain: served.endpoint.certificate_chain,
            key: Secret(served.private_key.to_string()),
        })
        .collect();
    Ok(Certificates { endpoints })
}
