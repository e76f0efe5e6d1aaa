//! Requests that a client takes back before they are answered. Over HTTP/2 that is its right and costs it nothing; a
//! client that does hardly anything else keeps router and dynos busy for nobody ("rapid reset"), and is let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::Notify;

use crate::clock;

/// Who waited so long has not taken it back at once, in ms.
const AT_ONCE: u64 = 1_000;

/// Requests of a connection before it is judged.
const FEW: u32 = 500;

/// What the client of one connection did.
#[derive(Debug, Default)]
pub(crate) struct Record {
    asked: AtomicU32,
    taken_back: AtomicU32,
    enough: Notify,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asked {
    record: Arc<Record>,
    /// [`clock::millis`]; `None` once it is answered.
    at: Option<u64>,
}

impl Record {
    pub(crate) fn ask(self: &Arc<Self>) -> Asked {
        self.asked.fetch_add(1, Relaxed);
        Asked {
            record: Arc::clone(self),
            at: Some(clock::millis()),
        }
    }

    /// Returns when the client has taken back most of what it asked.
    pub(crate) async fn enough(&self) {
        self.enough.notified().await;
    }
}

impl Asked {
    /// It was answered, or as good as.
    pub(crate) fn answered(mut self) {
        self.at = None;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let since = self.at.map(|at| clock::millis().saturating_sub(at));
        if since.is_none_or(|since| since >= AT_ONCE) {
            return;
        }
        let taken_back = self.record.taken_back.fetch_add(1, Relaxed) + 1;
        if is_enough(self.record.asked.load(Relaxed), taken_back) {
            self.record.enough.notify_one();
        }
    }
}

fn is_enough(asked: u32, taken_back: u32) -> bool {
    asked >= FEW && taken_back > asked / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_many() {
        assert!(!is_enough(FEW - 1, FEW - 1));
        assert!(is_enough(FEW, FEW));
        assert!(!is_enough(10_000, 5_000));
        assert!(is_enough(10_000, 5_001));
    }

    #[tokio::test]
    async fn answers_are_no_offence() {
        let record = Arc::new(Record::default());
        for _ in 0..2 * FEW {
            record.ask().answered();
        }
        for _ in 0..FEW {
            drop(record.ask());
        }
        let wait = std::time::Duration::from_millis(5);
        assert!(
            tokio::time::timeout(wait, record.enough()).await.is_err(),
            "a third"
        );
        for _ in 0..2 * FEW {
            drop(record.ask());
        }
        record.enough().await;
    }
}
