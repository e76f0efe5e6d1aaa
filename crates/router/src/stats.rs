//! What the router counts: per app for the server, in sum for its own metrics.
//!
//! Plain atomics, so counting never waits. Names no metrics library: whoever exports them asks for a
//! [`Snapshot`].

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use ropewalk_api_types::router::{AppStats, DynoStats};
use ropewalk_model::ResponseTimes;
use ropewalk_model::response_times::{BUCKETS, bucket_of};

use crate::code::Code;
use crate::edge::Gate;

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
    in_flight: AtomicU64,
    /// Requests waiting for a dyno that boots.
    pub(crate) held: AtomicU64,
    /// Requests handed to a dyno within a millisecond, which are most.
    prompt: AtomicU64,
    /// How long the others had waited. Made on the first of them.
    queue: OnceLock<Box<Times>>,
    ended: Ended,
    /// Made on the first answer of the router's own.
    own: OnceLock<Box<Own>>,
}

impl Tally {
    pub(crate) fn new(app: &str) -> Tally {
        Tally {
            app: app.to_owned(),
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            held: AtomicU64::new(0),
            prompt: AtomicU64::new(0),
            queue: OnceLock::new(),
            ended: Ended::default(),
            own: OnceLock::new(),
        }
    }

    pub(crate) fn begin(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// One that was begun begins again. Who has taken the count meanwhile has it twice.
    pub(crate) fn withdraw(&self) {
        let _ = self
            .requests
            .fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        self.leave();
    }

    /// One that was begun is another app's alone.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// One that was begun goes to a dyno, after so many milliseconds.
    pub(crate) fn hand_over(&self, waited: u64) {
        match waited {
            0 => {
                self.prompt.fetch_add(1, Relaxed);
            }
            ms => self.queue.get_or_init(Box::default).add(ms),
        }
    }

    /// One that ended never came to a dyno, since too many waited or it had waited too long.
    pub(crate) fn give_up(&self) {
        self.own().given_up.fetch_add(1, Relaxed);
    }

    /// As [`Ended::add`].
    pub(crate) fn end(&self, class: usize, service: Option<u64>) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.ended.add(class, service);
    }

    /// One that ended was answered, or given up on, by the router.
    pub(crate) fn fail(&self, code: Code) {
        if let Some(count) = self.own().codes.get(code as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// One that ended was answered by the app's edge policy.
    pub(crate) fn turn_away(&self, gate: Gate) {
        if let Some(count) = self.own().gates.get(gate as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    fn own(&self) -> &Own {
        self.own.get_or_init(Box::default)
    }

    /// What happened since the last call, or `None` for an app without traffic. Knows nothing of dynos and lines.
    pub(crate) fn take(&self) -> Option<AppStats> {
        let requests = self.requests.swap(0, Relaxed);
        let in_flight = self.in_flight.load(Relaxed);
        let classes = self.ended.take_classes();
        if requests == 0 && in_flight == 0 && is_nothing(&classes) {
            return None;
        }
        let times = self.ended.take_times();
        let distribution: ResponseTimes = times.iter().copied().collect();
        let percentile = |percent| distribution.percentile(percent).unwrap_or(0);
        let mut queue = self.queue.get().map_or_else(Vec::new, |queue| queue.take());
        let prompt = self.prompt.swap(0, Relaxed);
        if prompt > 0 {
            queue.insert(0, (0, prompt));
        }
        let own = self.own.get();
        Some(AppStats {
            requests,
            classes,
            in_flight,
            queue: Some(queue),
            given_up: Some(own.map_or(0, |own| own.given_up.swap(0, Relaxed))),
            codes: own.map(|own| own.take()).unwrap_or_default(),
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
            times,
            ..AppStats::default()
        })
    }
}

/// The router's own answers.
#[derive(Debug, Default)]
struct Own {
    /// By [`Code`].
    codes: [AtomicU64; Code::ALL.len()],
    /// By [`Gate`].
    gates: [AtomicU64; Gate::ALL.len()],
    given_up: AtomicU64,
}

impl Own {
    fn take(&self) -> BTreeMap<String, u64> {
        let codes = Code::ALL.map(Code::name).into_iter().zip(&self.codes);
        let gates = Gate::ALL.map(Gate::name).into_iter().zip(&self.gates);
        codes
            .chain(gates)
            .map(|(name, count)| (name.to_owned(), count.swap(0, Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Requests that ended, of an app or of one of its dynos, since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    classes: [AtomicU64; 6],
    /// Made on the first request: most of ten thousand apps are idle.
    times: OnceLock<Box<Times>>,
}

impl Ended {
    /// `class` as in [`AppStats::classes`]; `service` (in ms) only for requests that a dyno answered, or was given up on.
    pub(crate) fn add(&self, class: usize, service: Option<u64>) {
        if let Some(count) = self.classes.get(class) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(ms) = service {
            self.times.get_or_init(Box::default).add(ms);
        }
    }

    /// What ended since the last call, with `in_flight` beside it; `None` when there is neither.
    pub(crate) fn take_with(&self, in_flight: u64) -> Option<DynoStats> {
        let classes = self.take_classes();
        (in_flight > 0 || !is_nothing(&classes)).then(|| DynoStats {
            classes,
            in_flight,
            times: self.take_times(),
        })
    }

    fn take_classes(&self) -> [u64; 6] {
        std::array::from_fn(|class| self.classes[class].swap(0, Relaxed))
    }

    fn take_times(&self) -> Vec<(u16, u64)> {
        self.times.get().map_or_else(Vec::new, |times| times.take())
    }
}

fn is_nothing(classes: &[u64; 6]) -> bool {
    classes.iter().all(|count| *count == 0)
}

/// Service times by bucket.
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

    /// Buckets with something in them, since the last call.
    fn take(&self) -> Vec<(u16, u64)> {
        (0u16..)
            .zip(&self.0)
            .map(|(bucket, count)| (bucket, u64::from(count.swap(0, Relaxed))))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ropewalk_model::response_times::lowest_of;

    use super::*;

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
        let counted: u64 = stats.times.iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 100);
        assert_eq!(tally.take(), None);
    }

    #[test]
    fn waits_before_a_dyno_are_counted_with_those_that_did_not_wait() {
        let tally = Tally::new("a");
        for waited in [0, 0, 0, 3, 100] {
            tally.begin();
            tally.hand_over(waited);
            tally.end(2, Some(1));
        }
        tally.begin();
        tally.end(0, None);
        tally.give_up();
        let stats = tally.take().expect("traffic");
        let counted: Vec<(u64, u64)> = stats
            .queue
            .expect("measured")
            .into_iter()
            .map(|(bucket, count)| (lowest_of(usize::from(bucket)), count))
            .collect();
        assert_eq!(counted, [(0, 3), (3, 1), (96, 1)]);
        assert_eq!(stats.given_up, Some(1));
        tally.begin();
        let next = tally.take().expect("one in flight");
        assert_eq!((next.queue, next.given_up), (Some(Vec::new()), Some(0)));
    }

    #[test]
    fn failures_are_counted_by_code() {
        let tally = Tally::new("a");
        for code in Code::ALL {
            tally.begin();
            tally.end(0, None);
            tally.fail(code);
        }
        tally.begin();
        tally.end(0, Some(30_000));
        tally.fail(Code::H12);
        for (before, gate) in Gate::ALL.into_iter().enumerate() {
            for _ in 0..=before {
                tally.turn_away(gate);
            }
        }
        let stats = tally.take().expect("traffic");
        assert_eq!(stats.codes.len(), Code::ALL.len() + Gate::ALL.len());
        for (before, gate) in Gate::ALL.into_iter().enumerate() {
            let counted = stats.codes[gate.name()];
            assert_eq!(counted, before as u64 + 1, "{}", gate.name());
        }
        for code in Code::ALL {
            let wanted = 1 + u64::from(code == Code::H12);
            assert_eq!(stats.codes[code.name()], wanted, "{}", code.name());
        }
        tally.begin();
        assert!(tally.take().expect("one in flight").codes.is_empty());
    }

    #[test]
    fn a_dyno_without_traffic_says_nothing() {
        let ended = Ended::default();
        assert_eq!(ended.take_with(0), None);
        assert_eq!(ended.take_with(2).expect("in flight").in_flight, 2);
        ended.add(5, Some(3));
        let stats = ended.take_with(0).expect("an answer");
        assert_eq!((stats.classes[5], stats.times), (1, vec![(3, 1)]));
        assert_eq!(ended.take_with(0), None);
    }
}
