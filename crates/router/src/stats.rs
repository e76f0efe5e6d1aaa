//! What the router counts: per app for the server, in sum for its own metrics.
//!
//! Plain atomics, so counting never waits. Names no metrics library: whoever exports them asks for a
//! [`Snapshot`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use ropewalk_api_types::router::AppStats;

/// Counters of the whole router. Share one between [`crate::run`] and whoever exports metrics.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) open_connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) classes: [AtomicU64; 6],
    pub(crate) connects: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) tables: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
}

/// A reading of [`Counters`]. All but the two gauges only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Client connections accepted.
    pub connections: u64,
    /// Client connections open now (gauge).
    pub open_connections: u64,
    /// Requests begun.
    pub requests: u64,
    /// Requests not yet finished (gauge).
    pub in_flight: u64,
    /// Requests finished, by status class; index 0 was answered by the router itself.
    pub classes: [u64; 6],
    /// Connections opened to dynos.
    pub connects: u64,
    /// Connections to dynos that could not be opened.
    pub connect_failures: u64,
    /// Times a request was sent to another dyno or on another connection.
    pub retries: u64,
    /// Tables applied.
    pub tables: u64,
    /// Log lines dropped because no server took them in time.
    pub log_dropped: u64,
}

impl Counters {
    /// The counters as they stand.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connections: self.connections.load(Relaxed),
            open_connections: self.open_connections.load(Relaxed),
            requests: self.requests.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            classes: std::array::from_fn(|class| self.classes[class].load(Relaxed)),
            connects: self.connects.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            retries: self.retries.load(Relaxed),
            tables: self.tables.load(Relaxed),
            log_dropped: self.log_dropped.load(Relaxed),
        }
    }
}

/// Counters of one app since they were last taken.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The app's id.
    pub(crate) app: String,
    requests: AtomicU64,
    classes: [AtomicU64; 6],
    in_flight: AtomicU64,
    /// Requests waiting for a dyno.
    pub(crate) held: AtomicU64,
    /// Made on the first request: most of ten thousand apps are idle.
    times: OnceLock<Box<Times>>,
}

impl Tally {
    pub(crate) fn new(app: &str) -> Tally {
        Tally {
            app: app.to_owned(),
            requests: AtomicU64::new(0),
            classes: Default::default(),
            in_flight: AtomicU64::new(0),
            held: AtomicU64::new(0),
            times: OnceLock::new(),
        }
    }

    pub(crate) fn begin(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// `class` as in [`AppStats::classes`]; `service` only for requests that a dyno answered.
    pub(crate) fn end(&self, class: usize, service: Option<u64>) {
        self.in_flight.fetch_sub(1, Relaxed);
        if let Some(count) = self.classes.get(class) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(ms) = service {
            self.times.get_or_init(Box::default).add(ms);
        }
    }

    /// What happened since the last call, or `None` for an app without traffic.
    pub(crate) fn take(&self) -> Option<AppStats> {
        let requests = self.requests.swap(0, Relaxed);
        let classes: [u64; 6] = std::array::from_fn(|class| self.classes[class].swap(0, Relaxed));
        let in_flight = self.in_flight.load(Relaxed);
        if requests == 0 && in_flight == 0 && classes.iter().all(|count| *count == 0) {
            return None;
        }
        let [p50_ms, p95_ms, p99_ms] = self.times.get().map_or([0; 3], |times| times.take());
        Some(AppStats {
            requests,
            classes,
            in_flight,
            p50_ms,
            p95_ms,
            p99_ms,
        })
    }
}

/// Eight buckets to each doubling from 8 ms to 131 s, one per millisecond below: within 12.5 %.
const BUCKETS: usize = 8 + 14 * 8;

/// Service times in milliseconds.
#[derive(Debug)]
struct Times([AtomicU32; BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Times(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Times {
    fn add(&self, ms: u64) {
        if let Some(bucket) = self.0.get(bucket_of(ms)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// The 50th, 95th and 99th percentile since the last call.
    fn take(&self) -> [u64; 3] {
        let counts: [u64; BUCKETS] =
            std::array::from_fn(|index| u64::from(self.0[index].swap(0, Relaxed)));
        let total: u64 = counts.iter().sum();
        [50, 95, 99].map(|percent| {
            let rank = (total * percent).div_ceil(100);
            let mut seen = 0;
            for (index, count) in counts.iter().enumerate() {
                seen += count;
                if seen >= rank && seen > 0 {
                    return lowest_of(index);
                }
            }
            0
        })
    }
}

fn bucket_of(ms: u64) -> usize {
    if ms < 8 {
        return ms as usize;
    }
    let octave = ms.ilog2() as usize;
    let step = (ms >> (octave - 3)) as usize & 7;
    (8 + (octave - 3) * 8 + step).min(BUCKETS - 1)
}

fn lowest_of(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let octave = (bucket - 8) / 8 + 3;
    let step = (bucket - 8) % 8;
    ((8 + step) as u64) << (octave - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_ordered_and_close() {
        let mut last = 0;
        for ms in 0..131_072 {
            let bucket = bucket_of(ms);
            assert!(bucket == last || bucket == last + 1, "{ms}");
            last = bucket;
            let low = lowest_of(bucket);
            assert!(
                low <= ms && ms - low <= low / 8,
                "{ms} in a bucket from {low}"
            );
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_a_second() {
        let tally = Tally::new("a");
        for ms in 1..=100 {
            tally.begin();
            tally.end(2, Some(ms));
        }
        let stats = tally.take().expect("traffic");
        assert_eq!(stats.requests, 100);
        assert_eq!(stats.classes[2], 100);
        assert_eq!(stats.in_flight, 0);
        assert_eq!((stats.p50_ms, stats.p95_ms, stats.p99_ms), (48, 88, 96));
        assert_eq!(tally.take(), None);
    }
}
