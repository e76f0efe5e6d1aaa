//! The last minute of requests, for sums over its newest seconds.

use crate::sample::Sample;

/// Seconds that are kept.
const SECONDS: usize = 60;

/// Newest first; `None` for a second that is not known.
#[derive(Debug)]
pub(crate) struct Recent(Vec<Option<Sample>>);

/// Sums over some seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Span {
    /// Seconds that are known.
    pub(crate) known: f64,
    pub(crate) requests: f64,
    pub(crate) answered: f64,
    pub(crate) busy_ms: f64,
    /// Means of the seconds' ends.
    pub(crate) waiting: f64,
    pub(crate) worked_on: f64,
}

impl Recent {
    pub(crate) fn new(history: &[Sample], now: u64) -> Self {
        let mut seconds = vec![None; SECONDS];
        for sample in history.iter().filter(|sample| sample.second < now) {
            let age = usize::try_from(now - 1 - sample.second).unwrap_or(SECONDS);
            if let Some(place) = seconds.get_mut(age) {
                match place {
                    None => *place = Some(*sample),
                    Some(known) => known.add(sample),
                }
            }
        }
        Self(seconds)
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Sums of the seconds that are at least `from` and less than `to` old.
    pub(crate) fn span(&self, from: usize, to: usize) -> Span {
        let mut span = Span::default();
        for sample in self.0.iter().take(to).skip(from).flatten() {
            let waiting = sample.waiting.min(sample.in_flight);
            span.known += 1.0;
            span.requests += sample.requests as f64;
            span.answered += sample.answered as f64;
            span.busy_ms += sample.busy_ms as f64;
            span.waiting += waiting as f64;
            span.worked_on += (sample.in_flight - waiting) as f64;
        }
        if span.known > 0.0 {
            span.waiting /= span.known;
            span.worked_on /= span.known;
        }
        span
    }

    /// Requests that waited throughout the newest two seconds that are known.
    pub(crate) fn waiting(&self) -> f64 {
        let newest = self.0.iter().take(5).flatten().take(2);
        newest
            .map(|sample| sample.waiting)
            .min()
            .map_or(0.0, |waiting| waiting as f64)
    }

    /// Anybody waited, or was given up on, in so many newest seconds.
    pub(crate) fn anybody_waited(&self, seconds: usize) -> bool {
        let newest = self.0.iter().take(seconds).flatten();
        newest
            .clone()
            .any(|sample| sample.waiting > 0 || sample.given_up > 0)
    }

    /// Seconds, newest first.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = &Sample> {
        self.0.iter().take(count).flatten()
    }
}

impl Span {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        match self.known > 0.0 {
            true => self.requests / self.known,
            false => 0.0,
        }
    }
}
