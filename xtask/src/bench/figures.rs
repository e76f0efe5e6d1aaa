//! What was measured, and what it comes to. Holds no figures of its own.

use std::collections::BTreeMap;

use super::apps::Kind;
use super::by_hand::ByHand;
use super::docker::Built;
use super::platform::Deployed;

/// Phases in the order in which they happen; others are shown after them.
const ORDER: [&str; 14] = [
    "receive",
    "queue",
    "checkout",
    "fetch",
    "detect",
    "compile",
    "bin_release",
    "report",
    "container",
    "pack",
    "release",
    "boot",
    "route",
    OUTSIDE,
];
/// What the build's record does not count: git on the client's side before the first byte arrives, and after the
/// record ends. Below zero when the first answer came before the last phase had ended.
const OUTSIDE: &str = "outside";
/// The buildpack's own work.
const BUILDPACK: [&str; 2] = ["detect", "compile"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// First push of an app: nothing received before, no build cache. Docker: no layer cache.
    Cold,
    /// A commit of the same code.
    Unchanged,
    /// One changed line of the app's own code.
    Line,
}

impl Case {
    pub(super) const ALL: [Self; 3] = [Self::Cold, Self::Unchanged, Self::Line];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Unchanged => "unchanged",
            Self::Line => "one line",
        }
    }
}

/// One app deployed both ways.
pub(super) struct Pair {
    pub(super) kind: Kind,
    pub(super) case: Case,
    pub(super) ours: Deployed,
    pub(super) docker: Built,
    /// Only of a first push of many files.
    pub(super) by_hand: Option<ByHand>,
}

/// All runs of one app and case.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) case: Case,
    pub(super) total: Spread,
    pub(super) returned: Spread,
    /// Median by phase, in order.
    pub(super) phases: Vec<(String, f64)>,
    /// Everything besides the buildpack's own work.
    pub(super) besides: Spread,
    pub(super) docker: Spread,
    pub(super) docker_build: Spread,
    /// The quickest.
    pub(super) by_hand: Option<ByHand>,
}

impl Row {
    /// Of medians: Ropewalk's time as a part of Docker's.
    pub(super) fn ratio(&self) -> f64 {
        self.total.median / self.docker.median
    }
}

#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match (values.len(), values.len() % 2) {
            (0, _) => f64::NAN,
            (_, 0) => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        Self {
            median,
            min: end(values.first()),
            max: end(values.last()),
        }
    }
}

/// One row for each app and case that was measured.
pub(super) fn rows(pairs: &[Pair]) -> Vec<Row> {
    let all = Kind::ALL
        .into_iter()
        .flat_map(|kind| Case::ALL.map(|case| (kind, case)));
    all.filter_map(|(kind, case)| {
        let pairs: Vec<&Pair> = pairs
            .iter()
            .filter(|pair| pair.kind == kind && pair.case == case)
            .collect();
        (!pairs.is_empty()).then(|| row(kind, case, &pairs))
    })
    .collect()
}

fn row(kind: Kind, case: Case, pairs: &[&Pair]) -> Row {
    Row {
        kind,
        case,
        total: Spread::of(pairs.iter().map(|pair| pair.ours.total)),
        returned: Spread::of(pairs.iter().map(|pair| pair.ours.returned)),
        phases: phases(pairs),
        besides: Spread::of(pairs.iter().map(|pair| besides(&pair.ours))),
        docker: Spread::of(pairs.iter().map(|pair| pair.docker.total)),
        docker_build: Spread::of(pairs.iter().map(|pair| pair.docker.build)),
        by_hand: pairs
            .iter()
            .filter_map(|pair| pair.by_hand)
            .min_by(|a, b| a.sum().total_cmp(&b.sum())),
    }
}

fn besides(ours: &Deployed) -> f64 {
    let own = |name: &str| ours.phases.get(name).copied().unwrap_or(0.0);
    ours.total - BUILDPACK.into_iter().map(own).sum::<f64>()
}

fn phases(pairs: &[&Pair]) -> Vec<(String, f64)> {
    let mut by_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        for (name, seconds) in &pair.ours.phases {
            by_name.entry(name).or_default().push(*seconds);
        }
        let counted: f64 = pair.ours.phases.values().sum();
        by_name
            .entry(OUTSIDE)
            .or_default()
            .push(pair.ours.total - counted);
    }
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut phases: Vec<_> = by_name
        .into_iter()
        .map(|(name, seconds)| (name.to_owned(), Spread::of(seconds).median))
        .collect();
    phases.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(total: f64, compile: f64) -> Pair {
        let phases = [("receive", 0.5), ("compile", compile), ("detect", 0.1)];
        Pair {
            kind: Kind::Nodejs,
            case: Case::Line,
            ours: Deployed {
                total,
                returned: total,
                phases: phases.map(|(name, s)| (name.to_owned(), s)).into(),
            },
            docker: Built {
                build: 3.0,
                total: 4.0,
            },
            by_hand: None,
        }
    }

    #[test]
    fn the_buildpacks_own_work_is_taken_off() {
        let rows = rows(&[pair(3.0, 1.0), pair(5.0, 2.0), pair(2.0, 1.0)]);
        let row = &rows[0];
        assert_eq!(rows.len(), 1);
        assert!((row.total.median - 3.0).abs() < 1e-9);
        assert!((row.besides.median - 1.9).abs() < 1e-9);
        assert!((row.ratio() - 0.75).abs() < 1e-9);
        let names: Vec<&str> = row.phases.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["receive", "detect", "compile", "outside"]);
    }

    #[test]
    fn of_an_even_number_the_median_lies_between() {
        let spread = Spread::of([4.0, 1.0]);
        assert!((spread.median - 2.5).abs() < 1e-9);
        assert!(spread.min < 1.1 && spread.max > 3.9);
    }
}
