//! Logins that somebody asked for at a terminal and is to confirm in a browser. In memory: a restart ends them.
//!
//! The browser's address and the terminal's secret are different ones: who has the address can only approve, and
//! gets nothing by it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ropewalk_model::UserId;
use tokio::sync::watch;

/// How long one waits for its browser.
const LIFE: Duration = Duration::from_secs(600);
/// Waiting at the same time: all together, and from one address.
const MAX_WAITING: usize = 1_000;
const MAX_BY_ADDRESS: usize = 20;

/// All that wait, by the id in the browser's address.
#[derive(Debug, Default)]
pub(crate) struct BrowserLogins(Mutex<HashMap<String, Arc<BrowserLogin>>>);

pub(crate) struct BrowserLogin {
    /// What the asker says to be.
    pub(crate) description: String,
    /// Where the asker's request came from.
    pub(crate) address: String,
    /// In the form; whoever sends it has seen the form.
    pub(crate) csrf: String,
    secret: String,
    began: Instant,
    outcome: watch::Sender<Outcome>,
}

impl fmt::Debug for BrowserLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserLogin")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Waiting,
    Approved(UserId),
    Refused,
}

/// What the asker is told.
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) secret: String,
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

impl BrowserLogins {
    /// `None` when too many wait already.
    pub(crate) fn ask(&self, description: String, address: String) -> Option<Asked> {
        self.ask_at(description, address, Instant::now())
    }

    fn ask_at(&self, description: String, address: String, now: Instant) -> Option<Asked> {
        let mut waiting = self.waiting(now);
        let from_here = waiting
            .values()
            .filter(|login| login.address == address)
            .count();
        if waiting.len() >= MAX_WAITING || from_here >= MAX_BY_ADDRESS {
            return None;
        }
        let (id, secret) = (random(), random());
        let login = BrowserLogin {
            description,
            address,
            csrf: random(),
            secret: secret.clone(),
            began: now,
            outcome: watch::Sender::new(Outcome::Waiting),
        };
        waiting.insert(id.clone(), Arc::new(login));
        Some(Asked { id, secret })
    }

    /// Unless its time is over.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<BrowserLogin>> {
        self.waiting(Instant::now()).get(id).cloned()
    }

    /// Gives it out for the last time: of several, one gets it.
    pub(crate) fn take(&self, id: &str) -> Option<Arc<BrowserLogin>> {
        self.waiting(Instant::now()).remove(id)
    }

    fn waiting(&self, now: Instant) -> MutexGuard<'_, HashMap<String, Arc<BrowserLogin>>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, login| now.saturating_duration_since(login.began) < LIFE);
        waiting
    }
}

impl BrowserLogin {
    pub(crate) fn is_asker(&self, secret: &str) -> bool {
        verify_slices_are_equal(self.secret.as_bytes(), secret.as_bytes()).is_ok()
    }

    pub(crate) fn has_seen_form(&self, csrf: &str) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), csrf.as_bytes()).is_ok()
    }

    /// `false` when it was decided before.
    pub(crate) fn decide(&self, outcome: Outcome) -> bool {
        self.outcome.send_if_modified(|kept| {
            let first = *kept == Outcome::Waiting;
            if first {
                *kept = outcome;
            }
            first
        })
    }

    /// Waits for the decision at most so long; [`Outcome::Waiting`] when there is none by then.
    pub(crate) async fn decision(&self, patience: Duration) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let decided = outcome.wait_for(|outcome| *outcome != Outcome::Waiting);
        match tokio::time::timeout(patience, decided).await {
            Ok(Ok(outcome)) => *outcome,
            _ => Outcome::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_wait_from_one_address_and_none_for_ever() {
        let logins = BrowserLogins::default();
        let began = Instant::now();
        let ask = |address: &str, at| logins.ask_at("x".into(), address.into(), at);
        for _ in 0..MAX_BY_ADDRESS {
            assert!(ask("192.0.2.1", began).is_some());
        }
        assert!(ask("192.0.2.1", began).is_none());
        assert!(ask("192.0.2.2", began).is_some());
        for n in 0..MAX_WAITING {
            ask(&n.to_string(), began);
        }
        assert!(ask("192.0.2.3", began).is_none());
        assert!(ask("192.0.2.1", began + LIFE).is_some());
    }

    #[test]
    fn the_first_decision_stands_and_the_address_is_no_secret_of_the_asker() {
        let logins = BrowserLogins::default();
        let asked = logins.ask("x".into(), "here".into()).unwrap();
        let login = logins.find(&asked.id).unwrap();
        assert!(login.is_asker(&asked.secret));
        assert!(!login.is_asker(&asked.id));
        assert!(!login.is_asker(&login.csrf));
        assert!(login.decide(Outcome::Refused));
        assert!(!login.decide(Outcome::Approved(UserId(uuid::Uuid::nil()))));
        assert!(logins.take(&asked.id).is_some());
        assert!(logins.take(&asked.id).is_none());
        assert!(!format!("{login:?}").contains(&asked.secret));
    }
}
