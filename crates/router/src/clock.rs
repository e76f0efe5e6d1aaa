//! One monotonic clock in milliseconds, small enough to live in an atomic.
//!
//! Deadlines of requests use it; wall time appears only in log lines and `X-Request-Start`.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the first call in this process.
pub(crate) fn millis() -> u64 {
    u64::try_from(EPOCH.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The moment at which [`millis`] is `ms`.
pub(crate) fn at(ms: u64) -> Instant {
    *EPOCH + Duration::from_millis(ms)
}
