//! How many dynos a process type should have, as its owner rules it: between which numbers, for which goals, at what
//! hours, how fast. Decides nothing; `crates/autoscale` does.

pub mod pace;
pub mod schedule;
pub mod settings;
pub mod source;
pub mod target;
pub mod webhook;

use jiff::Timestamp;
use thiserror::Error;

use crate::formation::MAX_QUANTITY;
use crate::monitor;

pub use pace::Pace;
pub use schedule::{Days, Schedule};
pub use settings::Settings;
pub use source::Source;
pub use target::{Amount, MetricName, Target};
pub use webhook::Webhook;

/// Most targets of one rule, and most schedules.
pub const MOST: usize = 16;

/// Fewest and most dynos. Always 1 at least, in order, and no more than a process type may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    min: u32,
    max: u32,
    /// The app may sleep.
    to_zero: bool,
}

/// What one process type is scaled by.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    bounds: Bounds,
    targets: Vec<Target>,
    schedules: Vec<Schedule>,
    pace: Pace,
    dry_run: bool,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum RuleError {
    #[error(
        "The least number of dynos must be at least 1, not {0}; web may have 0, and then the app sleeps when nobody asks for it."
    )]
    Min(i64),
    #[error("The most dynos ({1}) must not be fewer than the least ({0}).")]
    Order(i64, i64),
    #[error(
        "The most dynos must not be more than the {MAX_QUANTITY} a process type may have, not {0}."
    )]
    Max(i64),
    #[error("A rule needs at least one target.")]
    NoTarget,
    #[error("A rule may have at most {MOST} of a kind, not {0}.")]
    TooMany(usize),
    #[error("There are two targets for {0}.")]
    Twice(String),
    #[error(
        "There is no target called {0:?}; there are p95, concurrency, rps, queue, cpu, memory and metric:NAME."
    )]
    Kind(String),
    #[error("The goal for {0} must be a number from {1} to {2}.")]
    Goal(String, f64, f64),
    #[error("{0:?} is no name of a metric: letters, digits, '_', ':', '.' and '-', at most 100.")]
    Metric(String),
    #[error("{0:?} has no source: say at which path, or by which command, it is read.")]
    NoSource(String),
    #[error("{0:?} has two sources.")]
    TwoSources(String),
    #[error("There is a source for {0:?}, but no target: say how much of it one dyno is for.")]
    Unasked(String),
    #[error(
        "A path begins with / and is ASCII without spaces, at most {} bytes.",
        source::MAX_PATH
    )]
    Path,
    #[error("A command has 1 to {} bytes.", source::MAX_COMMAND)]
    Command,
    #[error("{0} counts requests, and {1} has none: use cpu, memory or metric:NAME.")]
    NoRequests(String, String),
    #[error("{0} is run once for each release or command, and not scaled.")]
    OneOff(String),
    #[error(
        "A webhook's address begins with https:// or http://, and is ASCII without a fragment, at most 2048 bytes."
    )]
    Webhook,
    #[error("A webhook's secret has {} to {} letters, digits and punctuation.", webhook::SECRET.0, webhook::SECRET.1)]
    Secret,
    #[error("A schedule needs at least one day.")]
    NoDay,
    #[error("{0:?} are no days: use daily, weekdays, weekends or names, as in mon,wed or mon-fri.")]
    Days(String),
    #[error("{0:?} is no time of day: use 09:00, up to 24:00.")]
    Clock(String),
    #[error("There is no time zone called {0:?}: use UTC or a name such as Europe/Berlin.")]
    Zone(String),
    #[error(
        "A schedule goes from a minute of the day to another, from 0 to 1440, not from {0} to {1}."
    )]
    Hours(u16, u16),
    #[error("{0} must be from {1} to {2}, not {3}.")]
    Pace(&'static str, u32, u32, u32),
}

impl Bounds {
    /// From numbers as clients send them.
    pub fn new(min: i64, max: i64) -> Result<Self, RuleError> {
        if min < 1 {
            return Err(RuleError::Min(min));
        }
        if max < min {
            return Err(RuleError::Order(min, max));
        }
        let small = |number| {
            u32::try_from(number)
                .ok()
                .filter(|number| *number <= MAX_QUANTITY)
                .ok_or(RuleError::Max(max))
        };
        Ok(Self {
            min: small(min)?,
            max: small(max)?,
            to_zero: false,
        })
    }

    /// The same, where 0 as the least says that the app may sleep: while it is awake there is one at least.
    pub fn to_zero(min: i64, max: i64) -> Result<Self, RuleError> {
        let bounds = Self::new(if min == 0 { 1 } else { min }, max)?;
        Ok(Self {
            to_zero: min == 0,
            ..bounds
        })
    }

    /// As it was asked for: 0 where the app may sleep.
    pub fn least(self) -> u32 {
        match self.to_zero {
            true => 0,
            false => self.min,
        }
    }

    pub fn min(self) -> u32 {
        self.min
    }

    /// At least [`Bounds::min`].
    pub fn max(self) -> u32 {
        self.max
    }
}

impl Rule {
    /// Always in force, at the usual pace, and carried out.
    pub fn new(bounds: Bounds, targets: Vec<Target>) -> Result<Self, RuleError> {
        if targets.is_empty() {
            return Err(RuleError::NoTarget);
        }
        if targets.len() > MOST {
            return Err(RuleError::TooMany(targets.len()));
        }
        for (index, target) in targets.iter().enumerate() {
            if targets[..index].iter().any(|other| other.is_like(target)) {
                return Err(RuleError::Twice(target.kind()));
            }
        }
        Ok(Self {
            bounds,
            targets,
            schedules: Vec::new(),
            pace: Pace::default(),
            dry_run: false,
        })
    }

    /// Other bounds at some hours; of those that hold at the same time the first counts.
    pub fn with_schedules(mut self, schedules: Vec<Schedule>) -> Result<Self, RuleError> {
        if schedules.len() > MOST {
            return Err(RuleError::TooMany(schedules.len()));
        }
        self.schedules = schedules;
        Ok(self)
    }

    pub fn with_pace(mut self, pace: Pace) -> Result<Self, RuleError> {
        pace.check()?;
        self.pace = pace;
        Ok(self)
    }

    /// Only says what it would do.
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The bounds outside the hours of any schedule.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The bounds at a moment, and the schedule that set them.
    pub fn bounds_at(&self, now: Timestamp) -> (Bounds, Option<&Schedule>) {
        let schedule = self.schedules.iter().find(|one| one.holds_at(now));
        (schedule.map_or(self.bounds, Schedule::bounds), schedule)
    }
}

/// What a monitor of Heroku's kind asks for.
impl From<monitor::Rule> for Rule {
    fn from(rule: monitor::Rule) -> Self {
        Self {
            bounds: Bounds {
                min: rule.min(),
                max: rule.max(),
                to_zero: false,
            },
            targets: vec![Target::P95 { ms: rule.p95_ms() }],
            schedules: Vec::new(),
            pace: Pace::default(),
            dry_run: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concurrency(per_dyno: f64) -> Target {
        Target::parse("concurrency", per_dyno).unwrap()
    }

    #[test]
    fn bounds_are_in_order_and_within_what_a_process_type_may_have() {
        let bounds = Bounds::new(2, 100).unwrap();
        assert_eq!((bounds.min(), bounds.max()), (2, 100));
        assert_eq!(Bounds::new(0, 5), Err(RuleError::Min(0)));
        let bounds = Bounds::to_zero(0, 5).unwrap();
        assert_eq!((bounds.least(), bounds.min(), bounds.max()), (0, 1, 5));
        let bounds = Bounds::to_zero(2, 5).unwrap();
        assert_eq!((bounds.least(), bounds.min()), (2, 2));
        assert_eq!(Bounds::to_zero(-1, 5), Err(RuleError::Min(-1)));
        assert_eq!(Bounds::to_zero(0, 0), Err(RuleError::Order(1, 0)));
        assert_eq!(Bounds::new(3, 2), Err(RuleError::Order(3, 2)));
        assert_eq!(Bounds::new(1, 101), Err(RuleError::Max(101)));
        assert_eq!(
            Bounds::new(i64::MAX, i64::MAX),
            Err(RuleError::Max(i64::MAX))
        );
    }

    #[test]
    fn a_rule_has_targets_and_each_once() {
        let bounds = Bounds::new(1, 5).unwrap();
        assert_eq!(Rule::new(bounds, Vec::new()), Err(RuleError::NoTarget));
        let twice = Rule::new(bounds, vec![concurrency(3.0), concurrency(4.0)]);
        assert_eq!(twice, Err(RuleError::Twice("concurrency".into())));
        let own = |name: &str| Target::parse(&format!("metric:{name}"), 5.0).unwrap();
        assert!(Rule::new(bounds, vec![own("jobs"), own("mails")]).is_ok());
        assert!(Rule::new(bounds, vec![own("jobs"), own("jobs")]).is_err());
    }

    #[test]
    fn a_monitor_is_a_rule_with_one_target() {
        let rule = Rule::from(monitor::Rule::new(500, 2, 7).unwrap());
        assert_eq!(rule.targets(), [Target::P95 { ms: 500 }]);
        assert_eq!(rule.bounds(), Bounds::new(2, 7).unwrap());
        assert!(!rule.is_dry_run());
    }
}
