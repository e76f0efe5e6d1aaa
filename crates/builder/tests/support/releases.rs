//! Plays the scheduler: concludes releases as the test says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ropewalk_builder::{BoxStream, ReleaseEvent, ReleaseOutcome, Releases};
use ropewalk_model::AppId;
use ropewalk_store::Store;

type Play = Box<dyn Fn(u32) -> Vec<ReleaseEvent> + Send>;

pub struct PlayedReleases {
    store: Store,
    play: Mutex<Play>,
    pub changes: AtomicUsize,
}

impl std::fmt::Debug for PlayedReleases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlayedReleases")
    }
}

impl PlayedReleases {
    /// Every release succeeds.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            play: Mutex::new(Box::new(|_| {
                vec![ReleaseEvent::Done(ReleaseOutcome::Succeeded)]
            })),
            changes: AtomicUsize::new(0),
        }
    }

    /// What is told of a version. Without `Done` the stream never ends.
    pub fn play(&self, play: impl Fn(u32) -> Vec<ReleaseEvent> + Send + 'static) {
        *self.play.lock().unwrap() = Box::new(play);
    }
}

impl Releases for PlayedReleases {
    fn expect(&self, _: AppId) {}

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn follow(&self, app: AppId, version: u32) -> BoxStream<ReleaseEvent> {
        let events = (self.play.lock().unwrap())(version);
        let store = self.store.clone();
        let told = stream::iter(events).then(move |event| {
            let store = store.clone();
            async move {
                let outcome = match &event {
                    ReleaseEvent::Done(outcome) => Some(outcome.clone()),
                    _ => None,
                };
                store
                    .write(move |tx| {
                        let now = Timestamp::now();
                        match outcome {
                            Some(ReleaseOutcome::Succeeded) => {
                                tx.promote_candidate(app, version, now).map(|_| ())
                            }
                            Some(ReleaseOutcome::Failed { reason, .. }) => {
                                tx.fail_candidate(app, version, &reason, now).map(|_| ())
                            }
                            _ => Ok(()),
                        }
                    })
                    .await
                    .unwrap();
                event
            }
        });
        Box::pin(told.chain(stream::pending()))
    }
}
