//! What a process type is held to, and how that is written: a kind and a number (`concurrency` 5).

use std::fmt;

use crate::monitor::MAX_P95_MS;

use super::RuleError;

/// A number above nothing, and within reason.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Amount(f64);

/// Least and most of an [`Amount`].
const AMOUNTS: (f64, f64) = (0.01, 1e9);

/// What an app calls a number that it publishes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricName(String);

/// One goal. With several, each says how many dynos it needs, and the most count.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// 95 of 100 requests are answered within so many milliseconds.
    P95 { ms: u32 },
    /// So many requests at once are what a dyno works on.
    Concurrency { per_dyno: Amount },
    /// So many requests a second are what a dyno gets.
    Rate { per_dyno: Amount },
    /// 95 of 100 requests are handed to a dyno within so many milliseconds.
    QueueTime { ms: u32 },
    /// Dynos are that busy on average, in percent of the CPU that they may use.
    Cpu { percent: Amount },
    /// Dynos use that much of their memory on average, in percent.
    Memory { percent: Amount },
    /// So much of a number that the app publishes is one dyno's share.
    Own { name: MetricName, per_dyno: Amount },
}

/// What comes before the name of a metric.
const OWN: &str = "metric:";

impl Target {
    /// From the kind, as people write it, and the goal.
    pub fn parse(kind: &str, goal: f64) -> Result<Self, RuleError> {
        let wrong = |least, most| RuleError::Goal(kind.to_owned(), least, most);
        let amount = |least: f64, most: f64| {
            let within = goal >= least && goal <= most;
            within.then_some(Amount(goal)).ok_or(wrong(least, most))
        };
        let ms = || {
            let most = f64::from(MAX_P95_MS);
            amount(1.0, most).map(|amount| amount.0 as u32)
        };
        let any = || amount(AMOUNTS.0, AMOUNTS.1);
        let percent = || amount(1.0, 100.0);
        match kind {
            "p95" => Ok(Self::P95 { ms: ms()? }),
            "concurrency" => Ok(Self::Concurrency { per_dyno: any()? }),
            "rps" => Ok(Self::Rate { per_dyno: any()? }),
            "queue" => Ok(Self::QueueTime { ms: ms()? }),
            "cpu" => Ok(Self::Cpu {
                percent: percent()?,
            }),
            "memory" => Ok(Self::Memory {
                percent: percent()?,
            }),
            _ => {
                let name = kind
                    .strip_prefix(OWN)
                    .ok_or_else(|| RuleError::Kind(kind.to_owned()))?;
                Ok(Self::Own {
                    name: MetricName::parse(name)?,
                    per_dyno: any()?,
                })
            }
        }
    }

    /// As [`Target::parse`] reads it.
    pub fn kind(&self) -> String {
        match self {
            Self::P95 { .. } => "p95".into(),
            Self::Concurrency { .. } => "concurrency".into(),
            Self::Rate { .. } => "rps".into(),
            Self::QueueTime { .. } => "queue".into(),
            Self::Cpu { .. } => "cpu".into(),
            Self::Memory { .. } => "memory".into(),
            Self::Own { name, .. } => format!("{OWN}{}", name.as_str()),
        }
    }

    pub fn goal(&self) -> f64 {
        match self {
            Self::P95 { ms } | Self::QueueTime { ms } => f64::from(*ms),
            Self::Concurrency { per_dyno } | Self::Rate { per_dyno } => per_dyno.0,
            Self::Own { per_dyno, .. } => per_dyno.0,
            Self::Cpu { percent } | Self::Memory { percent } => percent.0,
        }
    }

    /// Whether it is judged by requests, which only web has.
    pub fn is_of_requests(&self) -> bool {
        match self {
            Self::P95 { .. }
            | Self::QueueTime { .. }
            | Self::Concurrency { .. }
            | Self::Rate { .. } => true,
            Self::Cpu { .. } | Self::Memory { .. } | Self::Own { .. } => false,
        }
    }

    /// Whether both are held to the same.
    pub fn is_like(&self, other: &Target) -> bool {
        self.kind() == other.kind()
    }
}

impl Amount {
    pub fn new(number: f64) -> Option<Self> {
        (AMOUNTS.0..=AMOUNTS.1)
            .contains(&number)
            .then_some(Self(number))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

/// At most two places after the point.
impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl MetricName {
    pub fn parse(name: &str) -> Result<Self, RuleError> {
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'-');
        let fits = (1..=100).contains(&name.len()) && name.bytes().all(plain);
        fits.then(|| Self(name.to_owned()))
            .ok_or_else(|| RuleError::Metric(name.chars().take(100).collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_it_is_written() {
        for (kind, goal) in [
            ("p95", 500.0),
            ("concurrency", 3.5),
            ("rps", 20.0),
            ("queue", 100.0),
            ("cpu", 60.0),
            ("memory", 80.0),
            ("metric:queue_depth", 100.0),
        ] {
            let target = Target::parse(kind, goal).unwrap();
            assert_eq!((target.kind().as_str(), target.goal()), (kind, goal));
        }
    }

    #[test]
    fn goals_out_of_reach_are_refused() {
        for (kind, goal) in [
            ("p95", 0.0),
            ("p95", 30_001.0),
            ("p95", f64::NAN),
            ("concurrency", 0.0),
            ("concurrency", -1.0),
            ("concurrency", f64::INFINITY),
            ("rps", f64::NAN),
            ("cpu", 101.0),
            ("metric:a b", 5.0),
            ("metric:", 5.0),
            ("load", 5.0),
        ] {
            assert!(Target::parse(kind, goal).is_err(), "{kind} {goal}");
        }
    }

    #[test]
    fn amounts_are_short() {
        for (number, text) in [(5.0, "5"), (3.5, "3.5"), (0.126, "0.13"), (100.0, "100")] {
            assert_eq!(Amount::new(number).unwrap().to_string(), text);
        }
    }
}
