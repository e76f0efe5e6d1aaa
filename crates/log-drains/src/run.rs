//! All drains: those that run are made those of the ledger, on a signal and on a period.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use ropewalk_logs::Logs;
use ropewalk_model::Egress;
use ropewalk_store::{LogDrain, Store};
use ropewalk_telemetry::{Round, Shutdown};
use rustls::RootCertStore;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::connect::Connector;
use crate::drain::{Drain, ROOM, Shared};
use crate::report::Report;
use crate::timing::Timing;
use crate::tls;

/// What drains need.
pub struct Parts {
    pub store: Store,
    pub logs: Logs,
    /// Where they may connect to.
    pub egress: Egress,
    /// Whose certificates they trust.
    pub roots: RootCertStore,
    pub timing: Timing,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("egress", &self.egress)
            .finish_non_exhaustive()
    }
}

/// The drains of an installation. Clones share them.
#[derive(Clone)]
pub struct LogDrains(Arc<Inner>);

struct Inner {
    store: Store,
    logs: Logs,
    shared: Arc<Shared>,
    changed: Notify,
}

impl fmt::Debug for LogDrains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogDrains")
    }
}

impl LogDrains {
    /// Nothing is sent before [`Self::run`].
    pub fn new(parts: Parts) -> Result<Self, rustls::Error> {
        let config = tls::config(parts.roots)?;
        let shared = Shared {
            connector: Connector::new(parts.egress, config, parts.timing.connect),
            timing: parts.timing,
            closing: CancellationToken::new(),
        };
        Ok(Self(Arc::new(Inner {
            store: parts.store,
            logs: parts.logs,
            shared: Arc::new(shared),
            changed: Notify::new(),
        })))
    }

    /// The ledger's drains changed: look again. Never waits.
    pub fn changed(&self) {
        self.0.changed.notify_one();
    }

    /// Runs the ledger's drains until `shutdown`, then sends what is left, for a moment. To be run once at a time.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut running = Running {
            inner: &self.0,
            tasks: JoinSet::new(),
            handles: HashMap::new(),
            seen: HashSet::new(),
        };
        while !shutdown.is_cancelled() {
            let round = Round::begin(self.0.shared.timing.look);
            let wanted = self.0.store.read(|view| view.all_log_drains()).await;
            let outcome = wanted.map(|wanted| running.reconcile(wanted));
            if let Err(error) = &outcome {
                tracing::warn!(%error, "The log drains could not be read.");
            }
            round.end(outcome);
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = sleep(self.0.shared.timing.look) => {}
                () = shutdown.cancelled() => {}
            }
        }
        self.0.shared.closing.cancel();
        let all = async { while running.tasks.join_next().await.is_some() {} };
        // What has not been sent by then is dropped with the tasks.
        let _ = timeout(self.0.shared.timing.closing, all).await;
    }
}

struct Running<'a> {
    inner: &'a Inner,
    tasks: JoinSet<()>,
    handles: HashMap<Uuid, AbortHandle>,
    /// Drains that ran before: they do not send again what they have sent.
    seen: HashSet<Uuid>,
}

impl Running<'_> {
    fn reconcile(&mut self, wanted: Vec<LogDrain>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!("A log drain's task failed; it is started again.");
            }
        }
        let ids: HashSet<Uuid> = wanted.iter().map(|drain| drain.id).collect();
        self.seen.retain(|id| ids.contains(id));
        self.handles.retain(|id, handle| {
            let stays = ids.contains(id) && !handle.is_finished();
            if !stays {
                handle.abort();
            }
            stays
        });
        for row in wanted {
            if !self.handles.contains_key(&row.id) {
                self.start(row);
            }
        }
    }

    /// From the drain's making on, as far as those lines are of this process.
    fn start(&mut self, row: LogDrain) {
        let from = match self.seen.insert(row.id) {
            true => row.created_at,
            false => Timestamp::now(),
        };
        let after = u64::try_from(from.as_microsecond()).unwrap_or(0);
        let Some(tap) = self.inner.logs.tap(row.app, after, ROOM) else {
            return;
        };
        let report = Report::new(
            self.inner.logs.clone(),
            row.app,
            row.token.clone(),
            self.inner.shared.timing.say_every,
        );
        let id = row.id;
        let drain = Drain {
            row,
            tap,
            report,
            shared: Arc::clone(&self.inner.shared),
        };
        self.handles.insert(id, self.tasks.spawn(drain.run()));
    }
}
