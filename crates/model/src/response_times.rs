//! How quick answers were, counted in buckets, so that what was counted apart can be put together.
//!
//! A percentile of many seconds, or of many routers, cannot be made of their percentiles; of their buckets it can.

use std::collections::BTreeMap;

/// Eight buckets to each doubling from 8 ms to 131 s, one per millisecond below: within 12.5 %.
pub const BUCKETS: usize = 8 + 14 * 8;

/// Where a time is counted. What is longer than the last bucket is in it.
pub fn bucket_of(ms: u64) -> usize {
    if ms < 8 {
        return usize::try_from(ms).unwrap_or(0);
    }
    let octave = ms.ilog2() as usize;
    let step = usize::try_from((ms >> (octave - 3)) & 7).unwrap_or(0);
    (8 + (octave - 3) * 8 + step).min(BUCKETS - 1)
}

/// The shortest time of a bucket, in ms; that of the last one for what is none.
pub fn lowest_of(bucket: usize) -> u64 {
    let bucket = bucket.min(BUCKETS - 1);
    if bucket < 8 {
        return bucket as u64;
    }
    let octave = (bucket - 8) / 8 + 3;
    let step = (bucket - 8) % 8;
    ((8 + step) as u64) << (octave - 3)
}

/// Times of many answers; buckets without any take no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseTimes(BTreeMap<u16, u64>);

impl ResponseTimes {
    /// Counts what was counted elsewhere. A bucket that is none is the last one.
    pub fn add(&mut self, bucket: u16, count: u64) {
        if count > 0 {
            let last = u16::try_from(BUCKETS - 1).unwrap_or(u16::MAX);
            let sum = self.0.entry(bucket.min(last)).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    pub fn merge(&mut self, other: &ResponseTimes) {
        for (bucket, count) in &other.0 {
            self.add(*bucket, *count);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// How many took less than this, in ms. Exact for a power of two from 8 on, and for any below.
    pub fn below(&self, ms: u64) -> u64 {
        let below = |bucket: &u16| lowest_of(usize::from(*bucket)) < ms;
        let counts = self.0.iter().filter(|(bucket, _)| below(bucket));
        counts.fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// All of them together, in ms; each as the shortest of its bucket.
    pub fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, (bucket, n)| {
            sum.saturating_add(lowest_of(usize::from(*bucket)).saturating_mul(*n))
        })
    }

    /// As many of 100 answers took no longer than this, in ms; `None` without any.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = u128::from(self.count())
            .saturating_mul(percent.into())
            .div_ceil(100);
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += u128::from(*count);
            (seen >= rank).then(|| lowest_of(usize::from(*bucket)))
        })
    }
}

impl FromIterator<(u16, u64)> for ResponseTimes {
    fn from_iter<I: IntoIterator<Item = (u16, u64)>>(counts: I) -> Self {
        let mut times = ResponseTimes::default();
        for (bucket, count) in counts {
            times.add(bucket, count);
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: impl IntoIterator<Item = u64>) -> ResponseTimes {
        all.into_iter()
            .map(|ms| (u16::try_from(bucket_of(ms)).unwrap(), 1))
            .collect()
    }

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
        assert_eq!(lowest_of(usize::MAX), lowest_of(BUCKETS - 1));
    }

    #[test]
    fn percentiles_of_what_was_counted_apart() {
        assert_eq!(ResponseTimes::default().percentile(50), None);
        let mut all = times(1..=50);
        all.merge(&times(51..=100));
        assert_eq!(all, times(1..=100));
        assert_eq!(
            [50, 95, 99].map(|percent| all.percentile(percent)),
            [Some(48), Some(88), Some(96)]
        );
        assert_eq!(times([0]).percentile(99), Some(0));
    }

    #[test]
    fn what_is_no_bucket_is_the_last_one() {
        let mut times = ResponseTimes::default();
        times.add(u16::MAX, u64::MAX);
        times.add(u16::MAX, 1);
        times.add(3, 0);
        assert_eq!(times.percentile(50), Some(lowest_of(BUCKETS - 1)));
    }
}
