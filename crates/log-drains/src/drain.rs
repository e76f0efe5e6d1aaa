//! One log drain: its place in the app's log, and what its ways of delivery share.

use std::sync::Arc;
use std::time::Duration;

use ropewalk_logs::Tap;
use ropewalk_model::drain::Transport;
use ropewalk_store::LogDrain;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::connect::{Connector, Stream};
use crate::report::Report;
use crate::timing::Timing;
use crate::{post, syslog};

/// Lines that a drain may be behind; older ones are dropped.
pub(crate) const ROOM: usize = 1_024;
/// How often it is looked whether lines were dropped.
const LOOK: Duration = Duration::from_secs(1);

/// What all drains share.
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) timing: Timing,
    /// The server ends: what is in the buffers may still be sent, nothing is waited for.
    pub(crate) closing: CancellationToken,
}

pub(crate) struct Drain {
    pub(crate) row: LogDrain,
    pub(crate) tap: Tap,
    pub(crate) report: Report,
    pub(crate) shared: Arc<Shared>,
}

impl Drain {
    /// Sends until the log is forgotten or the server ends. Dropping the future ends it at once.
    pub(crate) async fn run(self) {
        let watch = async {
            loop {
                sleep(LOOK).await;
                self.report.dropped(self.tap.dropped());
                self.report.tell();
            }
        };
        let send = async {
            match self.row.url.transport() {
                Transport::Syslog | Transport::SyslogTls => syslog::run(&self).await,
                Transport::Http | Transport::Https => post::run(&self).await,
            }
        };
        tokio::select! {
            () = watch => {}
            () = send => {}
        }
    }

    /// Waits for a line; `false` when there will be none.
    pub(crate) async fn has_more(&self) -> bool {
        tokio::select! {
            biased;
            more = self.tap.wait(1) => more,
            () = self.shared.closing.cancelled() => false,
        }
    }

    /// Waits for `lines` lines, but not long.
    pub(crate) async fn gather(&self, lines: usize) {
        tokio::select! {
            _ = timeout(self.shared.timing.gather, self.tap.wait(lines)) => {}
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// `false` when the server ends meanwhile.
    async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => true,
            () = self.shared.closing.cancelled() => false,
        }
    }
}

/// When to connect: at once the first time, later and later while it fails.
pub(crate) struct Dialler {
    backoff: Backoff,
    must_wait: bool,
}

impl Dialler {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            backoff: Backoff::new(timing.first_wait, timing.longest_wait),
            must_wait: false,
        }
    }

    /// All is well: the next connection may be made at once.
    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
        self.must_wait = false;
    }

    /// Something failed: the next try comes after a wait.
    pub(crate) fn failed(&mut self) {
        self.must_wait = true;
    }

    /// Waits if something failed before. `false` when the server ends meanwhile.
    pub(crate) async fn rest(&mut self, drain: &Drain) -> bool {
        !std::mem::take(&mut self.must_wait) || drain.pause(self.backoff.next()).await
    }

    /// Connects, however often it takes; `None` when the server ends meanwhile.
    pub(crate) async fn dial(&mut self, drain: &Drain) -> Option<Stream> {
        while self.rest(drain).await {
            match drain.shared.connector.connect(&drain.row.url).await {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    tracing::debug!(drain = drain.row.token, %error, "A log drain is not connected.");
                    drain.report.not_connected(&error);
                    self.failed();
                }
            }
        }
        None
    }
}
