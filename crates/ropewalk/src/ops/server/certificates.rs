//! Keeps the router's certificates as the ledger has them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{Certificate, Challenge, Own, Staple};
use ropewalk_api_types::sni_endpoint::{Revocation, RevocationStatus};
use ropewalk_ocsp::{Served, Staples, State, Status};
use ropewalk_scheduler::Routes;
use ropewalk_store::{ServedCertificate, Store, StoreError};
use ropewalk_telemetry::Round;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest time between two looks.
const PERIOD: Duration = Duration::from_secs(60);
/// How long a request waits for the routers to serve by what it changed.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);

/// Largest file with a chain, in bytes.
const MAX_CHAIN: u64 = 64 << 10;

/// The certificate that the router has in files.
pub(super) struct Files {
    pub(super) chain: PathBuf,
    /// What it serves, for the log.
    pub(super) hosts: Vec<String>,
}

pub(super) struct Keeper {
    store: Store,
    routes: Routes,
    staples: Staples,
    own: Option<Files>,
    signal: Notify,
    /// One look at a time: what was read first must not be published last.
    turn: Mutex<()>,
}

impl Keeper {
    pub(super) fn new(store: Store, routes: Routes, staples: Staples, own: Option<Files>) -> Self {
        Self {
            store,
            routes,
            staples,
            own,
            signal: Notify::new(),
            turn: Mutex::default(),
        }
    }

    /// Looks on every signal and now and then, until `shutdown`.
    pub(super) async fn keep(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            let round = Round::begin(PERIOD);
            round.end(self.look().await);
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.signal.notified() => {}
                () = self.staples.changed() => {}
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
            let _ = self.look().await;
            self.routes.certified().await;
        };
        let _ = timeout(SETTLED_WITHIN, settled).await;
    }

    /// Hands routers what they answer to authorities, in the place of what they had; `false` when the ledger cannot be
    /// read, for without certificates a router would forget its own.
    pub(super) async fn publish_challenges(&self, challenges: Vec<Challenge>) -> bool {
        self.look().await.is_ok() && self.routes.publish_challenges(challenges)
    }

    /// Waits until there is a router and every one answers by what is the newest.
    pub(super) async fn answering(&self) {
        self.routes.answering().await;
    }

    /// Says by itself why it failed.
    async fn look(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let rows = self
            .store
            .read(|view| view.served_certificates())
            .await
            .inspect_err(|error| tracing::warn!(%error, "The certificates could not be read."))?;
        let own = self.own_chain().await;
        let mut all: Vec<Served> = rows.iter().map(served).collect();
        all.extend(
            self.own
                .as_ref()
                .zip(own.as_ref())
                .map(|(files, chain)| Served {
                    chain: chain.clone(),
                    hosts: files.hosts.clone(),
                    app: None,
                }),
        );
        self.staples.serve(all).await;
        let now = Timestamp::now();
        let endpoints = rows
            .into_iter()
            .map(|row| certificate(row, &self.staples, now));
        let own = own.and_then(|chain| {
            let staple = self.staples.staple(&chain, now).map(wire)?;
            Some(Own { chain, staple })
        });
        self.routes.publish_certificates(endpoints.collect(), own);
        Ok(())
    }

    /// The file may be changed at any time; the router follows it by itself.
    async fn own_chain(&self) -> Option<String> {
        let file = &self.own.as_ref()?.chain;
        let read = async {
            if tokio::fs::metadata(file).await?.len() > MAX_CHAIN {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            tokio::fs::read_to_string(file).await
        };
        read.await
            .inspect_err(|error| {
                tracing::warn!(file = %file.display(), %error, "The router's certificate could not be read.");
            })
            .ok()
    }
}

fn wire(staple: ropewalk_ocsp::Staple) -> Staple {
    Staple {
        answer: BASE64_STANDARD.encode(staple.answer.as_slice()),
        until: u64::try_from(staple.until.as_second()).unwrap_or_default(),
    }
}

fn served(row: &ServedCertificate) -> Served {
    Served {
        chain: row.certificate_chain.clone(),
        hosts: row.hosts.clone(),
        app: row.app,
    }
}

fn certificate(row: ServedCertificate, staples: &Staples, now: Timestamp) -> Certificate {
    let staple = staples.staple(&row.certificate_chain, now);
    Certificate {
        hosts: row.hosts,
        staple: staple.map(wire),
        chain: row.certificate_chain,
        key: Secret(row.private_key.to_string()),
    }
}

/// As the API shows it; nothing of what is as it always is.
pub(super) fn revocation(status: Status) -> Option<Revocation> {
    let must_staple = status.must_staple;
    let told = |status| Revocation {
        status,
        must_staple,
        stapled_until: None,
        revoked_at: None,
        reason: None,
    };
    Some(match status.state {
        State::Nobody if !must_staple => return None,
        State::Nobody => Revocation {
            reason: Some("it names nobody to ask".to_owned()),
            ..told(RevocationStatus::Unknown)
        },
        State::Pending => told(RevocationStatus::Pending),
        State::Good { until } => Revocation {
            stapled_until: Some(until),
            ..told(RevocationStatus::Good)
        },
        State::Revoked { at, reason } => Revocation {
            revoked_at: Some(at),
            reason: reason.map(str::to_owned),
            ..told(RevocationStatus::Revoked)
        },
        State::Failing { why } => Revocation {
            reason: Some(why),
            ..told(RevocationStatus::Unknown)
        },
    })
}
