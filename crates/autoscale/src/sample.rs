//! What was measured, by the second and by ten of them.

/// What an app did in one second. A second without traffic has a sample too; one without a sample is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Which second.
    pub second: u64,
    /// Requests that came.
    pub requests: u64,
    /// Requests whose time counts: answered by a dyno, or given up on after 30 s.
    pub answered: u64,
    /// 95 of 100 of those took no longer, in ms; says nothing when there were none.
    pub p95_ms: u64,
    /// Requests under way at its end.
    pub in_flight: u64,
}

impl Sample {
    /// Adds what another router, or a late report, says of the same second.
    pub fn add(&mut self, other: &Sample) {
        self.requests = self.requests.saturating_add(other.requests);
        self.answered = self.answered.saturating_add(other.answered);
        self.p95_ms = self.p95_ms.max(other.p95_ms);
        self.in_flight = self.in_flight.max(other.in_flight);
    }
}

/// Seconds in a [`Bucket`].
pub(crate) const BUCKET: u64 = 10;

/// Ten seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Seconds of which anything is known.
    pub(crate) known: u64,
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    /// Mean of the seconds' p95, by answers; `None` without any.
    pub(crate) p95_ms: Option<u64>,
}

/// The last `count` times ten seconds before `now`, newest first.
pub(crate) fn buckets(history: &[Sample], now: u64, count: usize) -> Vec<Bucket> {
    let mut buckets = vec![Bucket::default(); count];
    let mut sums = vec![0u128; count];
    for sample in history.iter().filter(|sample| sample.second < now) {
        let age = (now - 1 - sample.second) / BUCKET;
        let Some(index) = usize::try_from(age).ok().filter(|index| *index < count) else {
            continue;
        };
        let bucket = &mut buckets[index];
        bucket.known += 1;
        bucket.requests = bucket.requests.saturating_add(sample.requests);
        bucket.answered = bucket.answered.saturating_add(sample.answered);
        sums[index] += u128::from(sample.answered) * u128::from(sample.p95_ms);
    }
    for (bucket, sum) in buckets.iter_mut().zip(sums) {
        if bucket.answered > 0 {
            let mean = sum / u128::from(bucket.answered);
            bucket.p95_ms = Some(u64::try_from(mean).unwrap_or(u64::MAX));
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_tens_newest_first() {
        let sample = |second, answered, p95_ms| Sample {
            second,
            requests: 1,
            answered,
            p95_ms,
            in_flight: 0,
        };
        let history = [
            sample(9, 1, 900),
            sample(10, 1, 100),
            sample(19, 3, 500),
            sample(20, 1, 7),
        ];
        let buckets = buckets(&history, 20, 3);
        let one = |known, requests, answered, p95_ms| Bucket {
            known,
            requests,
            answered,
            p95_ms,
        };
        assert_eq!(
            buckets,
            [
                one(2, 2, 4, Some(400)),
                one(1, 1, 1, Some(900)),
                Bucket::default()
            ]
        );
    }
}
