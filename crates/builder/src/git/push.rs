//! Pushes under way: what links the HTTP request, the git that serves it, and the hook that this git runs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ropewalk_store::{App, User};

/// One push. The hook proves that it belongs to it by a secret that only git's environment carries.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) app: App,
    pub(crate) user: User,
    pub(crate) began: Instant,
    /// Everything is received; from now on the build has its own limits.
    pub(crate) received: AtomicBool,
    /// A release was made: the push stands even if the client goes away.
    pub(crate) settled: Arc<AtomicBool>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Pushes(Arc<Mutex<HashMap<String, Arc<Push>>>>);

/// A push in the list; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) secret: String,
    pub(crate) push: Arc<Push>,
    pushes: Pushes,
}

impl Push {
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    pub(crate) fn is_received(&self) -> bool {
        self.received.load(Ordering::Acquire)
    }
}

impl Pushes {
    pub(crate) fn enter(&self, app: App, user: User) -> Entered {
        let mut secret = String::with_capacity(64);
        for byte in rand::random::<[u8; 32]>() {
            // Writing to a string cannot fail.
            let _ = write!(secret, "{byte:02x}");
        }
        let push = Arc::new(Push {
            app,
            user,
            began: Instant::now(),
            received: AtomicBool::new(false),
            settled: Arc::default(),
        });
        self.lock().insert(secret.clone(), Arc::clone(&push));
        Entered {
            secret,
            push,
            pushes: self.clone(),
        }
    }

    pub(crate) fn find(&self, secret: &str) -> Option<Arc<Push>> {
        self.lock().get(secret).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Push>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.pushes.lock().remove(&self.secret);
    }
}
