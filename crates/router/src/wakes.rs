//! Apps that sleep and that somebody asks for: said to the server once each, until it has answered.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Wakes {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By the app's id, since it was last awake or the server was another.
    asked: BTreeSet<String>,
    /// Those of them that are still to be said.
    unsaid: BTreeSet<String>,
}

impl Wakes {
    /// Somebody waits for an app that sleeps.
    pub(crate) fn ask(&self, app: &str) {
        let mut state = self.lock();
        if state.asked.insert(app.to_owned()) {
            state.unsaid.insert(app.to_owned());
            drop(state);
            self.bell.notify_one();
        }
    }

    /// It does not sleep: when it does again, that is another time.
    pub(crate) fn is_awake(&self, app: &str) {
        let mut state = self.lock();
        if !state.asked.is_empty() {
            state.asked.remove(app);
            state.unsaid.remove(app);
        }
    }

    /// Another server knows nothing of it. Whoever waits asks again when its table comes.
    pub(crate) fn forget(&self) {
        *self.lock() = State::default();
    }

    /// Those that are to be said, once there are any.
    pub(crate) async fn next(&self) -> BTreeSet<String> {
        loop {
            let unsaid = std::mem::take(&mut self.lock().unsaid);
            if !unsaid.is_empty() {
                return unsaid;
            }
            self.bell.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
