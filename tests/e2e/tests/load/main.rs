//! Apps under load, side by side: each test waits for windows and graces most of its time.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // support code of tests

mod autoscale;
mod mixed;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For those that ask for 200 requests a second: two of them at once are more than a small machine has.
static HEAVY: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}
