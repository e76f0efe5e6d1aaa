//! One build an app at a time, and few on a host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_model::AppId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(crate) struct Queue {
    apps: Arc<Mutex<HashMap<AppId, Holder>>>,
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
}

#[derive(Debug, Clone)]
struct Holder {
    who: String,
    since: Instant,
    gone: CancellationToken,
}

/// The right to build an app; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Cancelled when the app is destroyed.
    pub(crate) gone: CancellationToken,
    app: AppId,
    apps: Arc<Mutex<HashMap<AppId, Holder>>>,
}

/// Somebody else is building that app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) who: String,
    pub(crate) for_long: Duration,
}

/// A place among the host's builds, or in the line before them.
pub(crate) enum Place {
    Free(OwnedSemaphorePermit),
    /// So many builds wait already, this one counted.
    Line(usize, Waiting),
    /// The line is full.
    Full,
}

pub(crate) struct Waiting {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    pub(crate) fn new(places: usize, most_waiting: usize) -> Self {
        Self {
            apps: Arc::default(),
            places: Arc::new(Semaphore::new(places)),
            waiting: Arc::default(),
            most_waiting,
        }
    }

    pub(crate) fn claim(&self, app: AppId, who: &str) -> Result<Claim, Busy> {
        let mut apps = lock(&self.apps);
        if let Some(holder) = apps.get(&app) {
            return Err(Busy {
                who: holder.who.clone(),
                for_long: holder.since.elapsed(),
            });
        }
        let holder = Holder {
            who: who.to_owned(),
            since: Instant::now(),
            gone: CancellationToken::new(),
        };
        let gone = holder.gone.clone();
        apps.insert(app, holder);
        Ok(Claim {
            gone,
            app,
            apps: Arc::clone(&self.apps),
        })
    }

    /// Whoever builds it need not go on.
    pub(crate) fn app_is_gone(&self, app: AppId) {
        if let Some(holder) = lock(&self.apps).get(&app) {
            holder.gone.cancel();
        }
    }

    pub(crate) fn place(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Place::Free(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting {
            places: Arc::clone(&self.places),
            waiting: Arc::clone(&self.waiting),
        };
        match before < self.most_waiting {
            true => Place::Line(before + 1, waiting),
            false => Place::Full,
        }
    }
}

impl Waiting {
    /// Waits for its turn; first come, first served. `None` never happens while the server runs.
    pub(crate) async fn turn(self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.apps).remove(&self.app);
    }
}

fn lock(apps: &Mutex<HashMap<AppId, Holder>>) -> std::sync::MutexGuard<'_, HashMap<AppId, Holder>> {
    apps.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_build_an_app() {
        let queue = Queue::new(1, 1);
        let app = AppId(Uuid::nil());
        let claim = queue.claim(app, "a@example.com").unwrap();
        assert_eq!(queue.claim(app, "b").unwrap_err().who, "a@example.com");
        drop(claim);
        assert!(queue.claim(app, "b").is_ok());
    }

    #[tokio::test]
    async fn the_line_has_an_end() {
        let queue = Queue::new(1, 1);
        let Place::Free(permit) = queue.place() else {
            panic!("the first place is free")
        };
        let Place::Line(1, waiting) = queue.place() else {
            panic!("the second waits")
        };
        assert!(matches!(queue.place(), Place::Full));
        drop(permit);
        let second = waiting.turn().await;
        assert!(second.is_some());
        assert!(matches!(queue.place(), Place::Line(1, _)));
    }
}
