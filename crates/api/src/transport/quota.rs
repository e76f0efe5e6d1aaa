//! How many requests an account may make: a bucket each that fills up again by the minute.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Buckets kept; when there are more, full ones go first, then all.
const MAX_BUCKETS: usize = 10_000;

/// Requests an account may make at once, and how many come back each minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_minute: u32,
}

impl Rate {
    /// For requests: Heroku's burst; the machine is one's own, so it fills faster.
    pub const REQUESTS: Self = Self {
        burst: 4_500,
        per_minute: 1_200,
    };
    /// For passwords.
    pub const LOGINS: Self = Self {
        burst: 10,
        per_minute: 10,
    };
}

/// One bucket a key.
#[derive(Debug)]
pub(crate) struct Quota {
    rate: Rate,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Quota {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
        }
    }

    /// Takes one and says how many are left; `None` when there is none.
    pub(crate) fn take(&self, key: &str) -> Option<u64> {
        self.take_at(key, Instant::now())
    }

    fn take_at(&self, key: &str, now: Instant) -> Option<u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = f64::from(self.rate.burst);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < burst);
            if buckets.len() >= MAX_BUCKETS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket {
            tokens: burst,
            at: now,
        });
        bucket.tokens = self.filled(*bucket, now);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return None;
        }
        bucket.tokens -= 1.0;
        Some(bucket.tokens as u64)
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(bucket.at).as_secs_f64() / 60.0;
        (bucket.tokens + minutes * f64::from(self.rate.per_minute)).min(f64::from(self.rate.burst))
    }
}

/// What is left for the account of the request at hand; put in by the frame, filled by authentication.
#[derive(Debug, Clone)]
pub(crate) struct Remaining(Arc<AtomicU64>);

/// Nobody has been recognised.
const UNKNOWN: u64 = u64::MAX;

impl Default for Remaining {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(UNKNOWN)))
    }
}

impl Remaining {
    pub(crate) fn set(&self, left: u64) {
        self.0.store(left, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|left| *left != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_by_the_minute() {
        let quota = Quota::new(Rate {
            burst: 3,
            per_minute: 2,
        });
        let now = Instant::now();
        let left: Vec<_> = (0..4).map(|_| quota.take_at("a", now)).collect();
        assert_eq!(left, [Some(2), Some(1), Some(0), None]);
        assert_eq!(quota.take_at("b", now), Some(2));
        let later = now + Duration::from_secs(30);
        assert_eq!(quota.take_at("a", later), Some(0));
        assert_eq!(quota.take_at("a", later), None);
        assert_eq!(quota.take_at("a", now + Duration::from_secs(3600)), Some(2));
    }
}
