//! How long each part of a push took, for the build's report.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

#[derive(Debug)]
pub(crate) struct Phases {
    since: Instant,
    taken: Vec<(String, Duration)>,
}

impl Phases {
    /// The first phase began at `since`.
    pub(crate) fn since(since: Instant) -> Self {
        Self {
            since,
            taken: Vec::new(),
        }
    }

    /// The phase that went on until now had this name; the next begins.
    pub(crate) fn end(&mut self, name: &str) {
        let now = Instant::now();
        let taken = now.duration_since(self.since);
        self.since = now;
        self.add(name, taken);
    }

    /// Of the phase until now somebody else measured all but this; the next begins.
    pub(crate) fn restart(&mut self, name: &str, rest: Duration) {
        self.since = Instant::now();
        self.add(name, rest);
    }

    /// Time that somebody else measured; adds up when named twice.
    pub(crate) fn add(&mut self, name: &str, taken: Duration) {
        match self.taken.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += taken,
            None => self.taken.push((name.to_owned(), taken)),
        }
    }

    pub(crate) fn total(&self) -> Duration {
        self.taken.iter().map(|(_, taken)| *taken).sum()
    }

    /// Milliseconds by name.
    pub(crate) fn to_json(&self) -> Value {
        let millis =
            |taken: &Duration| Value::from(u64::try_from(taken.as_millis()).unwrap_or(u64::MAX));
        let map: Map<String, Value> = self
            .taken
            .iter()
            .map(|(name, taken)| (name.clone(), millis(taken)))
            .collect();
        Value::Object(map)
    }
}
