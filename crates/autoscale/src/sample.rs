//! What was measured of requests, by the second and by ten of them.

/// What an app did in one second. A second without traffic has a sample too; one without a sample is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Which second.
    pub second: u64,
    /// Requests that came.
    pub requests: u64,
    /// Requests whose time counts: answered by a dyno, or given up on after 30 s.
    pub answered: u64,
    /// 95 of 100 of those took no longer, in ms, from when a dyno got them; says nothing when there were none.
    pub p95_ms: u64,
    /// What those took together, in ms. 0 where it is not known.
    pub busy_ms: u64,
    /// Requests under way at its end, waiting ones among them.
    pub in_flight: u64,
    /// Requests that waited for a dyno at its end.
    pub waiting: u64,
    /// Requests that were refused because too many waited, or waited too long.
    pub given_up: u64,
    /// 95 of 100 requests waited no longer for a dyno, in ms. `None` where that is not measured: it is estimated then.
    pub queue_ms: Option<u64>,
}

impl Sample {
    /// Adds what another router, or a late report, says of the same second.
    pub fn add(&mut self, other: &Sample) {
        self.requests = self.requests.saturating_add(other.requests);
        self.answered = self.answered.saturating_add(other.answered);
        self.p95_ms = self.p95_ms.max(other.p95_ms);
        self.busy_ms = self.busy_ms.saturating_add(other.busy_ms);
        self.in_flight = self.in_flight.max(other.in_flight);
        self.waiting = self.waiting.max(other.waiting);
        self.given_up = self.given_up.saturating_add(other.given_up);
        self.queue_ms = self.queue_ms.max(other.queue_ms);
    }
}

/// A request that waits, or is worked on, for longer is given up on.
pub(crate) const PATIENCE_MS: u64 = 30_000;

/// Seconds in a [`Bucket`].
pub(crate) const BUCKET: u64 = 10;

/// Ten seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Seconds of which anything is known.
    pub(crate) known: u64,
    pub(crate) requests: u64,
    /// Answers, and those that were given up on.
    pub(crate) ended: u64,
    pub(crate) given_up: u64,
    /// How long requests waited for a dyno.
    pub(crate) queue_ms: u64,
    /// What clients saw: the mean of the seconds' p95, by answers, and the wait before; `None` without either.
    pub(crate) p95_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    answered: u128,
    times: u128,
    waiting: u128,
    /// Times by answers, and the answers of seconds that have any.
    queue: u128,
    measured: u128,
}

/// The last `count` times ten seconds before `now`, newest first.
pub(crate) fn buckets(history: &[Sample], now: u64, count: usize) -> Vec<Bucket> {
    let mut buckets = vec![Bucket::default(); count];
    let mut sums = vec![Sums::default(); count];
    for sample in history.iter().filter(|sample| sample.second < now) {
        let age = (now - 1 - sample.second) / BUCKET;
        let Some(index) = usize::try_from(age).ok().filter(|index| *index < count) else {
            continue;
        };
        let (bucket, sum) = (&mut buckets[index], &mut sums[index]);
        bucket.known += 1;
        bucket.requests = bucket.requests.saturating_add(sample.requests);
        bucket.given_up = bucket.given_up.saturating_add(sample.given_up);
        let ended = sample.answered.saturating_add(sample.given_up);
        bucket.ended = bucket.ended.saturating_add(ended);
        let answered = u128::from(sample.answered);
        sum.answered += answered;
        sum.times = sum
            .times
            .saturating_add(answered * u128::from(sample.p95_ms));
        sum.waiting += u128::from(sample.waiting);
        if let Some(queue_ms) = sample.queue_ms {
            sum.queue = sum
                .queue
                .saturating_add(answered.max(1) * u128::from(queue_ms));
            sum.measured += answered.max(1);
        }
    }
    for (bucket, sum) in buckets.iter_mut().zip(sums) {
        bucket.judge(sum);
    }
    buckets
}

impl Bucket {
    fn judge(&mut self, sum: Sums) {
        self.queue_ms = match sum.queue.checked_div(sum.measured) {
            Some(mean) => clip(mean),
            // By Little's law: who waits, by how fast they go on.
            None => clip(sum.waiting * 1000 / sum.answered.max(1)),
        };
        let answer = sum.times.checked_div(sum.answered).map(narrow);
        self.p95_ms = match (answer, self.queue_ms) {
            // One in twenty never got an answer.
            _ if self.given_up > 0 && u128::from(self.given_up) * 19 >= sum.answered => {
                Some(PATIENCE_MS)
            }
            (None, 0) => None,
            (answer, queue) => Some(answer.unwrap_or(0).saturating_add(queue)),
        };
    }
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn clip(ms: u128) -> u64 {
    narrow(ms).min(PATIENCE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, answered: u64, p95_ms: u64) -> Sample {
        Sample {
            second,
            requests: 1,
            answered,
            p95_ms,
            ..Sample::default()
        }
    }

    #[test]
    fn seconds_become_tens_newest_first() {
        let history = [
            sample(9, 1, 900),
            sample(10, 1, 100),
            sample(19, 3, 500),
            sample(20, 1, 7),
        ];
        let one = |known, requests, ended, p95_ms| Bucket {
            known,
            requests,
            ended,
            p95_ms,
            ..Bucket::default()
        };
        assert_eq!(
            buckets(&history, 20, 3),
            [
                one(2, 2, 4, Some(400)),
                one(1, 1, 1, Some(900)),
                Bucket::default()
            ]
        );
    }

    #[test]
    fn what_waits_for_a_dyno_is_late_too() {
        let of = |sample: Sample| {
            let bucket = buckets(&[sample], 1, 1)[0];
            (bucket.queue_ms, bucket.p95_ms)
        };
        let quick = sample(0, 20, 100);
        assert_eq!(of(quick), (0, Some(100)));
        // Ten wait, and twenty a second go on.
        let waiting = Sample {
            waiting: 10,
            ..quick
        };
        assert_eq!(of(waiting), (500, Some(600)));
        let measured = Sample {
            queue_ms: Some(80),
            ..waiting
        };
        assert_eq!(of(measured), (80, Some(180)));
        let stuck = Sample {
            answered: 0,
            waiting: 400,
            ..quick
        };
        assert_eq!(of(stuck), (30_000, Some(30_000)));
    }

    #[test]
    fn one_in_twenty_that_is_refused_makes_all_late() {
        let of = |given_up| {
            let sample = Sample {
                given_up,
                ..sample(0, 95, 100)
            };
            buckets(&[sample], 1, 1)[0].p95_ms
        };
        assert_eq!(of(4), Some(100));
        assert_eq!(of(5), Some(30_000));
    }
}
