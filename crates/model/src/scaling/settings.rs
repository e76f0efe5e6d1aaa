//! All that an owner sets for the scaling of one process type: the rule, and what only those need who carry it out.

use super::{MetricName, Rule, RuleError, Source, Target};
use crate::{ProcessType, monitor};

/// Most minutes between two notices: 31 days.
pub const MAX_NOTICE_PERIOD: u32 = 44_640;

/// Minutes between two notices where nobody says.
pub const DEFAULT_NOTICE_PERIOD: u32 = 5;

/// Whole and without contradictions: see [`Settings::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    rule: Rule,
    sources: Vec<(MetricName, Source)>,
}

impl Settings {
    /// Each number that the rule asks for has one source, and each source a number that is asked for.
    pub fn new(rule: Rule, sources: Vec<(MetricName, Source)>) -> Result<Self, RuleError> {
        let asked = |name: &MetricName| {
            let mut targets = rule.targets().iter();
            targets.any(|target| matches!(target, Target::Own { name: asked, .. } if asked == name))
        };
        for (index, (name, _)) in sources.iter().enumerate() {
            if !asked(name) {
                return Err(RuleError::Unasked(name.as_str().to_owned()));
            }
            if sources[..index].iter().any(|(other, _)| other == name) {
                return Err(RuleError::TwoSources(name.as_str().to_owned()));
            }
        }
        for target in rule.targets() {
            if let Target::Own { name, .. } = target
                && !sources.iter().any(|(known, _)| known == name)
            {
                return Err(RuleError::NoSource(name.as_str().to_owned()));
            }
        }
        Ok(Self { rule, sources })
    }

    /// Refused where the process type has nothing to judge by, or is none that runs for long.
    pub fn check_for(&self, process_type: &ProcessType) -> Result<(), RuleError> {
        if process_type.is_one_off() {
            return Err(RuleError::OneOff(process_type.to_string()));
        }
        if !process_type.is_web() && self.rule.bounds().least() == 0 {
            return Err(RuleError::Min(0));
        }
        let of_requests = self
            .rule
            .targets()
            .iter()
            .find(|target| target.is_of_requests());
        match of_requests {
            Some(target) if !process_type.is_web() => Err(RuleError::NoRequests(
                target.kind(),
                process_type.to_string(),
            )),
            _ => Ok(()),
        }
    }

    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The sources of the numbers that the rule asks for.
    pub fn sources(&self) -> &[(MetricName, Source)] {
        &self.sources
    }

    /// The wanted p95 in milliseconds, where there is one.
    pub fn p95_ms(&self) -> Option<u32> {
        self.rule.targets().iter().find_map(|target| match target {
            Target::P95 { ms } => Some(*ms),
            _ => None,
        })
    }
}

impl Settings {
    /// The same with these bounds and this p95, as a monitor of Heroku's kind asks for.
    pub fn with_monitor(&self, monitor: monitor::Rule) -> Result<Self, RuleError> {
        let asked = Rule::from(monitor);
        let others = self.rule.targets().iter();
        let others = others.filter(|target| !matches!(target, Target::P95 { .. }));
        let targets = asked.targets().iter().chain(others).cloned().collect();
        let rule = Rule::new(asked.bounds(), targets)?
            .with_schedules(self.rule.schedules().to_vec())?
            .with_pace(*self.rule.pace())?
            .with_dry_run(self.rule.is_dry_run());
        Self::new(rule, self.sources.clone())
    }

    /// The same, carried out or only said.
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.rule = self.rule.with_dry_run(dry_run);
        self
    }
}

/// A rule that asks for no number of the app's own.
impl TryFrom<Rule> for Settings {
    type Error = RuleError;

    fn try_from(rule: Rule) -> Result<Self, RuleError> {
        Self::new(rule, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;

    fn rule(kinds: &[&str]) -> Rule {
        let targets = kinds.iter().map(|kind| Target::parse(kind, 10.0).unwrap());
        Rule::new(Bounds::new(1, 5).unwrap(), targets.collect()).unwrap()
    }

    fn source(name: &str) -> (MetricName, Source) {
        let source = Source::path("/metrics", true).unwrap();
        (MetricName::parse(name).unwrap(), source)
    }

    #[test]
    fn each_number_has_its_source_and_no_other() {
        let new = |kinds: &[&str], names: &[&str]| {
            Settings::new(rule(kinds), names.iter().map(|name| source(name)).collect())
        };
        assert!(new(&["cpu", "metric:jobs"], &["jobs"]).is_ok());
        let error = new(&["metric:jobs"], &[]).unwrap_err();
        assert_eq!(error, RuleError::NoSource("jobs".into()));
        let error = new(&["cpu"], &["jobs"]).unwrap_err();
        assert_eq!(error, RuleError::Unasked("jobs".into()));
        let error = new(&["metric:jobs"], &["jobs", "jobs"]).unwrap_err();
        assert_eq!(error, RuleError::TwoSources("jobs".into()));
    }

    #[test]
    fn a_monitor_changes_its_part_alone() {
        let settings = Settings::new(rule(&["cpu", "p95", "metric:jobs"]), vec![source("jobs")]);
        let settings = settings.unwrap().with_dry_run(true);
        let asked = monitor::Rule::new(750, 2, 9).unwrap();
        let changed = settings.with_monitor(asked).unwrap();
        assert_eq!(changed.p95_ms(), Some(750));
        assert_eq!(changed.rule().bounds(), Bounds::new(2, 9).unwrap());
        assert_eq!(changed.rule().targets().len(), 3);
        assert_eq!(changed.sources(), settings.sources());
        assert!(changed.rule().is_dry_run());
        let without = Settings::try_from(rule(&["cpu"])).unwrap();
        assert_eq!(without.with_monitor(asked).unwrap().p95_ms(), Some(750));
    }

    #[test]
    fn only_web_is_held_to_requests_and_one_offs_to_nothing() {
        let check = |kinds: &[&str], process_type: &str| {
            let settings = Settings::try_from(rule(kinds)).unwrap();
            settings.check_for(&ProcessType::parse(process_type).unwrap())
        };
        for kind in ["p95", "concurrency", "rps", "queue"] {
            assert_eq!(check(&["cpu", kind], "web"), Ok(()));
            let error = RuleError::NoRequests(kind.into(), "worker".into());
            assert_eq!(check(&["cpu", kind], "worker"), Err(error));
        }
        assert_eq!(check(&["cpu", "memory"], "worker"), Ok(()));
        let error = RuleError::OneOff("release".into());
        assert_eq!(check(&["cpu"], "release"), Err(error));
    }
}
