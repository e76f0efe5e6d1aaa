//! One build an app at a time, and few on a host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_model::{AppId, BuildId};
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
    build: BuildId,
    gone: CancellationToken,
    stop: CancellationToken,
    settled: Arc<AtomicBool>,
}

/// The right to build an app; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Cancelled when the app is destroyed.
    pub(crate) gone: CancellationToken,
    /// Cancelled when somebody wants the build to end.
    pub(crate) stop: CancellationToken,
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

    /// `settled` tells that the build has made its release.
    pub(crate) fn claim(
        &self,
        app: AppId,
        who: &str,
        build: BuildId,
        settled: &Arc<AtomicBool>,
    ) -> Result<Claim, Busy> {
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
            build,
            gone: CancellationToken::new(),
            stop: CancellationToken::new(),
            settled: Arc::clone(settled),
        };
        let (gone, stop) = (holder.gone.clone(), holder.stop.clone());
        apps.insert(app, holder);
        Ok(Claim {
            gone,
            stop,
            app,
            apps: Arc::clone(&self.apps),
        })
    }

    /// Does something that takes no time, unless the app is being built; no build of it begins meanwhile.
    pub(crate) fn unless_building<T>(&self, app: AppId, work: impl FnOnce() -> T) -> Option<T> {
        let apps = lock(&self.apps);
        (!apps.contains_key(&app)).then(work)
    }

    /// Whoever builds it need not go on.
    pub(crate) fn app_is_gone(&self, app: AppId) {
        if let Some(holder) = lock(&self.apps).get(&app) {
            holder.gone.cancel();
        }
    }

    /// Ends a build; `false` when it is not under way, or has made its release.
    pub(crate) fn cancel(&self, app: AppId, build: BuildId) -> bool {
        let apps = lock(&self.apps);
        let holder = apps.get(&app).filter(|holder| holder.build == build);
        let Some(holder) = holder.filter(|holder| !holder.settled.load(Ordering::Acquire)) else {
            return false;
        };
        holder.stop.cancel();
        true
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
        let (one, two) = (BuildId(Uuid::nil()), BuildId(Uuid::max()));
        let settled = Arc::default();
        let claim = queue.claim(app, "a@example.com", one, &settled).unwrap();
        let busy = queue.claim(app, "b", two, &settled).unwrap_err();
        assert_eq!(busy.who, "a@example.com");
        drop(claim);
        assert!(queue.claim(app, "b", two, &settled).is_ok());
    }

    #[test]
    fn a_build_is_cancelled_by_its_id_until_it_has_made_its_release() {
        let queue = Queue::new(1, 1);
        let app = AppId(Uuid::nil());
        let (one, other) = (BuildId(Uuid::nil()), BuildId(Uuid::max()));
        let settled = Arc::new(AtomicBool::new(false));
        let claim = queue.claim(app, "a@example.com", one, &settled).unwrap();
        assert!(!queue.cancel(app, other));
        assert!(!claim.stop.is_cancelled());
        settled.store(true, Ordering::Release);
        assert!(!queue.cancel(app, one));
        settled.store(false, Ordering::Release);
        assert!(queue.cancel(app, one));
        assert!(claim.stop.is_cancelled());
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
