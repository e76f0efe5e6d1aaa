//! What every request shares.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::HeaderValue;
use ropewalk_model::egress::Cidr;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::cores::Cores;
use crate::edge::HttpsAt;
use crate::logs::Logs;
use crate::stats::Counters;
use crate::table::Tables;
use crate::tls::Certificates;

/// One running router.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) limits: Limits,
    /// Who says on whose behalf it connects.
    pub(crate) proxies: Box<[Cidr]>,
    pub(crate) tables: Tables,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) https_at: HttpsAt,
    /// Where clients of TLS find HTTP/3, in the words of `Alt-Svc`.
    pub(crate) alt_svc: Option<HeaderValue>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) logs: Logs,
    /// Where connections live.
    pub(crate) cores: Arc<Cores>,
    /// Connections and tunnels: what a stop waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the router is told to stop: nothing new is accepted.
    pub(crate) stopping: CancellationToken,
    /// The same, for those who ask often.
    pub(crate) is_stopping: AtomicBool,
    /// Another router accepts by the time this one stops, so nobody waits for its end.
    pub(crate) succeeded: AtomicBool,
    /// Cancelled when the time to finish is over: what is left is cut off.
    pub(crate) cut: CancellationToken,
    /// Cancelled when nothing is left: what is not told now is never told.
    pub(crate) ended: CancellationToken,
}
