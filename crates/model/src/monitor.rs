//! Autoscaling as people ask for it: between how many dynos, and how quick answers should be.

use thiserror::Error;

use crate::formation::MAX_QUANTITY;

/// The one kind of monitor there is.
pub const LATENCY_SCALE: &str = "LATENCY_SCALE";

/// What a monitor does.
pub const ACTION_TYPE: &str = "scale";

/// How what was measured is compared with the goal.
pub const OP: &str = "GREATER_OR_EQUAL";

/// Minutes over which it is compared.
pub const PERIOD: u32 = 1;

/// The goal of who names none (Heroku CLI, `ps:autoscale:enable`).
pub const DEFAULT_P95_MS: u32 = 1000;

/// Longest goal: a dyno that takes longer to answer is given up on (H12).
pub const MAX_P95_MS: u32 = 30_000;

/// Minutes between two notifications of who says none. They are kept for clients that read them; nobody is notified.
pub const DEFAULT_NOTIFICATION_PERIOD: u32 = 1440;

/// Most minutes between two notifications: 31 days.
pub const MAX_NOTIFICATION_PERIOD: u32 = 44_640;

/// Between how many dynos, for which response time. Always within the limits: see [`Rule::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    p95_ms: u32,
    min: u32,
    max: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MonitorError {
    #[error("The wanted p95 must be between 1 and {MAX_P95_MS} ms, not {0}.")]
    Value(i64),
    #[error(
        "The least number of dynos must be at least 1, not {0}; an app that may have none is scaled by hand."
    )]
    Min(i64),
    #[error("The most dynos ({1}) must not be fewer than the least ({0}).")]
    Order(i64, i64),
    #[error(
        "The most dynos must not be more than the {MAX_QUANTITY} a process type may have, not {0}."
    )]
    Max(i64),
}

impl Rule {
    /// From numbers as clients send them.
    pub fn new(p95_ms: i64, min: i64, max: i64) -> Result<Self, MonitorError> {
        let p95 = u32::try_from(p95_ms).map_err(|_| MonitorError::Value(p95_ms))?;
        if !(1..=MAX_P95_MS).contains(&p95) {
            return Err(MonitorError::Value(p95_ms));
        }
        if min < 1 {
            return Err(MonitorError::Min(min));
        }
        if max < min {
            return Err(MonitorError::Order(min, max));
        }
        if max > i64::from(MAX_QUANTITY) {
            return Err(MonitorError::Max(max));
        }
        let small = |number| u32::try_from(number).map_err(|_| MonitorError::Max(number));
        Ok(Self {
            p95_ms: p95,
            min: small(min)?,
            max: small(max)?,
        })
    }

    /// 95 of 100 requests should be answered within this many milliseconds.
    pub fn p95_ms(&self) -> u32 {
        self.p95_ms
    }

    /// Fewest dynos, at least 1.
    pub fn min(&self) -> u32 {
        self.min
    }

    /// Most dynos, at least [`Rule::min`].
    pub fn max(&self) -> u32 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_within_its_limits() {
        let rule = Rule::new(500, 1, 100).unwrap();
        assert_eq!((rule.p95_ms(), rule.min(), rule.max()), (500, 1, 100));
        for (p95, min, max, error) in [
            (0, 1, 5, MonitorError::Value(0)),
            (30_001, 1, 5, MonitorError::Value(30_001)),
            (i64::MAX, 1, 5, MonitorError::Value(i64::MAX)),
            (500, 0, 5, MonitorError::Min(0)),
            (500, i64::MIN, 5, MonitorError::Min(i64::MIN)),
            (500, 3, 2, MonitorError::Order(3, 2)),
            (500, 1, 101, MonitorError::Max(101)),
        ] {
            assert_eq!(Rule::new(p95, min, max), Err(error));
        }
    }
}
