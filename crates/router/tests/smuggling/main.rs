//! What could be read in two ways reaches no dyno: it is refused, or passed on in the one form that everybody reads alike
//! (RFC 9112, 6.3 and 11.2).
//!
//! The dyno here keeps every byte and reads them by the letter of the RFC; anything else in them fails the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod http1;
mod http2;
mod messages;
#[path = "../rig/mod.rs"]
mod rig;
mod strict;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::Fate;
use rig::{Rig, app, status, table};
use ropewalk_router::Limits;
use strict::{Strict, strict};

/// A router, and what its strict dyno noted.
pub(crate) async fn strict_rig() -> (Rig, Arc<Mutex<Strict>>) {
    let (dyno, notes) = strict().await;
    // A body that never ends is not waited for long.
    let limits = Limits {
        first_byte: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        header: Duration::from_millis(500),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, app(&[dyno])), limits).await;
    (rig, notes)
}

pub(crate) fn judge(fate: Fate, notes: &Strict, answer: &str) -> Result<(), String> {
    if let Some(wrong) = notes.wrong.first() {
        return Err(format!("the dyno got {wrong}"));
    }
    // What was left over of an ambiguous message must not have become a request of its own.
    let seen = match notes.seen.as_slice() {
        [] => None,
        [one] => Some(one),
        more => return Err(format!("the dyno saw {more:?}")),
    };
    match (fate, seen) {
        (Fate::Passed(body), Some(seen)) if seen.body == body && answer.contains(" 200 OK\r\n") => {
            Ok(())
        }
        (Fate::Refused, None) if answer.is_empty() || (400..500).contains(&status(answer)) => {
            Ok(())
        }
        (Fate::Either, _) => Ok(()),
        _ => Err(format!(
            "not {fate:?}: the dyno saw {seen:?}, and the answer is {answer:?}"
        )),
    }
}
