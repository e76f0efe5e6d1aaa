//! What was measured of an app's requests, over a while and at the moment.

use std::collections::BTreeMap;

use crate::id::{AppId, DynoId};
use crate::response_times::ResponseTimes;

/// Everything that is known of an app's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Shortest first.
    pub windows: Vec<Window>,
    /// `None` while no router is there to tell.
    pub load: Option<Load>,
}

/// The last so many seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// What is asked for.
    pub seconds: u64,
    /// Of how many of them anything can be known: fewer since a start, and a few fewer since time is counted in steps.
    pub measured: u64,
    /// Of the whole app, by dynos that are gone too.
    pub app: Requests,
    pub dynos: BTreeMap<DynoId, Requests>,
}

/// The last few seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    /// As in [`Window`].
    pub seconds: u64,
    pub measured: u64,
    /// With that window alone.
    pub apps: BTreeMap<AppId, Traffic>,
}

/// Since the server began to count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: Requests,
    pub load: Load,
    pub connections: Connections,
}

/// Connections over raw TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that have ended, by what their log line has as `code`; `none` for those without.
    pub ended: BTreeMap<String, u64>,
    /// Those that are open now.
    pub open: u64,
    /// Bytes that clients sent, and that dynos did.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Connections {
    pub fn add(&mut self, other: &Connections) {
        for (code, count) in &other.ended {
            let sum = self.ended.entry(code.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.open = self.open.saturating_add(other.open);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }
}

/// Requests that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// By status class: index 1 is 1xx … 5 is 5xx; 0 is answered by the router itself.
    pub classes: [u64; 6],
    /// What the router answered itself or logged as an error, by code (`H12`) or edge setting (`https-redirect`).
    pub codes: BTreeMap<String, u64>,
    pub times: ResponseTimes,
}

/// What is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// Those that wait included.
    pub in_flight: u64,
    /// For a dyno that is booting, or has no place.
    pub waiting: u64,
    pub dynos: BTreeMap<DynoId, u64>,
}

impl Requests {
    pub fn total(&self) -> u64 {
        self.classes
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub fn add(&mut self, other: &Requests) {
        for (sum, count) in self.classes.iter_mut().zip(other.classes) {
            *sum = sum.saturating_add(count);
        }
        for (code, count) in &other.codes {
            let sum = self.codes.entry(code.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.times.merge(&other.times);
    }
}

impl Load {
    pub fn add(&mut self, other: &Load) {
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.waiting = self.waiting.saturating_add(other.waiting);
        for (dyno, count) in &other.dynos {
            let sum = self.dynos.entry(*dyno).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_add_up() {
        let one = Requests {
            classes: [1, 0, 2, 0, 0, 3],
            codes: BTreeMap::from([("H12".to_owned(), 1)]),
            times: ResponseTimes::from_iter([(4, 2)]),
        };
        let mut sum = Requests::default();
        assert_eq!(sum.total(), 0);
        sum.add(&one);
        assert_eq!(sum, one);
        sum.add(&one);
        assert_eq!(sum.total(), 12);
        assert_eq!(sum.codes["H12"], 2);
        assert_eq!(sum.times.percentile(50), Some(4));
    }
}
