//! The tables, and which goals are met.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::laws::Name;
use super::trace::Trace;
use super::world::{Outcome, least_dyno_seconds, run};

pub(super) struct Report {
    /// Runs of each case, each with other chances; the mean counts.
    pub(super) seeds: u64,
}

/// Seconds that a dyno takes to boot.
const BOOTS: [f64; 3] = [5.0, 30.0, 90.0];
/// Loads that do not change.
const CONSTANT: [f64; 6] = [20.0, 57.0, 100.0, 143.0, 240.0, 333.0];

#[derive(Clone, Copy, PartialEq)]
struct Case {
    trace: Trace,
    boot: f64,
    law: Name,
}

impl Report {
    pub(super) fn print(&self) {
        let mut cases = Vec::new();
        for boot in BOOTS {
            for trace in Trace::COUNTED.into_iter().chain(Trace::MORE) {
                cases.extend(Name::ALL.map(|law| Case { trace, boot, law }));
            }
        }
        let constant = CONSTANT.map(|rate| Case {
            trace: Trace::Constant(rate),
            boot: 5.0,
            law: Name::Ours,
        });
        cases.extend(constant);
        let outcomes = self.all(&cases);
        let table: Vec<(Case, Outcome)> = cases.into_iter().zip(outcomes).collect();
        for boot in BOOTS {
            for trace in Trace::COUNTED.into_iter().chain(Trace::MORE) {
                rows(&table, boot, trace);
            }
        }
        goals(&table);
    }

    /// On every processor; what comes out does not depend on how many there are.
    fn all(&self, cases: &[Case]) -> Vec<Outcome> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(vec![Outcome::default(); cases.len()]);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((index, case)) = {
                        let index = next.fetch_add(1, Relaxed);
                        cases.get(index).map(|case| (index, case))
                    } {
                        let outcome = self.mean(*case);
                        done.lock().unwrap_or_else(PoisonError::into_inner)[index] = outcome;
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn mean(&self, case: Case) -> Outcome {
        let runs: Vec<Outcome> = (1..=self.seeds)
            .map(|seed| run(case.trace, case.law, case.boot, seed))
            .collect();
        let mean = |of: fn(&Outcome) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let most = |of: fn(&Outcome) -> f64| runs.iter().map(of).fold(0.0, f64::max);
        Outcome {
            requests: mean(|run| run.requests),
            queued: mean(|run| run.queued),
            late: mean(|run| run.late),
            failed: mean(|run| run.failed),
            late_seconds: mean(|run| run.late_seconds),
            dyno_seconds: mean(|run| run.dyno_seconds),
            changes: mean(|run| run.changes),
            reaction: most(|run| run.reaction),
            settled_changes: most(|run| run.settled_changes),
            settled_returns: most(|run| run.settled_returns),
        }
    }
}

fn rows(table: &[(Case, Outcome)], boot: f64, trace: Trace) {
    println!("\n#### Boot {boot} s, {}\n", trace.name());
    println!(
        "| law | seconds over 500 ms | requests queued, % | late, % | failed, % | dyno-seconds | times the least possible | changes |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let least = least_dyno_seconds(trace);
    for (case, outcome) in table {
        if case.boot != boot || case.trace != trace {
            continue;
        }
        let percent = |count: f64| 100.0 * count / outcome.requests;
        println!(
            "| {} | {:.0} | {:.2} | {:.3} | {:.3} | {:.0} | {:.2} | {:.0} |",
            case.law.text(),
            outcome.late_seconds,
            percent(outcome.queued),
            percent(outcome.late),
            percent(outcome.failed),
            outcome.dyno_seconds,
            outcome.dyno_seconds / least,
            outcome.changes
        );
    }
}

fn goals(table: &[(Case, Outcome)]) {
    let of = |law: Name, boot: f64, trace: Trace| {
        let case = Case { trace, boot, law };
        let found = table.iter().find(|(known, _)| *known == case);
        found.map(|(_, outcome)| *outcome).unwrap_or_default()
    };
    let sum = |law: Name, boot: f64, what: fn(&Outcome) -> f64| -> f64 {
        let traces = Trace::COUNTED.into_iter();
        traces.map(|trace| what(&of(law, boot, trace))).sum()
    };
    println!("\nGoals, of the first six loads:\n");
    for (boot, of_kpa, of_heroku) in [(5.0, 0.4, 20.0), (30.0, 0.6, 10.0)] {
        let times = |law: Name, what: fn(&Outcome) -> f64| {
            sum(Name::Ours, boot, what) / sum(law, boot, what)
        };
        let late = |outcome: &Outcome| outcome.late;
        told(
            &format!("AS-1, boot {boot} s: late requests at most {of_kpa} of Knative's"),
            times(Name::Kpa, late),
            of_kpa,
        );
        told(
            &format!(
                "AS-1, boot {boot} s: late requests at most 1/{of_heroku} of the Heroku-like rule's"
            ),
            times(Name::Heroku, late),
            1.0 / of_heroku,
        );
        told(
            &format!("AS-1, boot {boot} s: dyno-hours at most 1.10 of Knative's"),
            times(Name::Kpa, |outcome| outcome.dyno_seconds),
            1.10,
        );
        for trace in Trace::COUNTED {
            let (ours, theirs) = (of(Name::Ours, boot, trace), of(Name::Kpa, boot, trace));
            // A handful of requests is no difference.
            let ratio = ours.late / theirs.late.max(10.0);
            told(
                &format!(
                    "AS-1, boot {boot} s, {}: late requests at most 1.2 of Knative's",
                    trace.name()
                ),
                ratio,
                1.2,
            );
        }
        told(
            &format!("AS-2, boot {boot} s: at most a third of Knative's changes"),
            times(Name::Kpa, |outcome| outcome.changes),
            1.0 / 3.0,
        );
    }
    let mut slowest = 0.0_f64;
    for (case, outcome) in table {
        if case.law == Name::Ours {
            slowest = slowest.max(outcome.reaction);
        }
    }
    told(
        "AS-3: seconds from a jump of the load to a step up",
        slowest,
        4.0,
    );
    println!(
        "- not here: AS-4, from no dyno to one: needs a router and an app, which a simulation has not"
    );
    for (case, outcome) in table {
        if let Trace::Constant(_) = case.trace {
            told(
                &format!(
                    "{}: changes after 15 min, at most 2 an hour",
                    case.trace.name()
                ),
                outcome.settled_changes,
                2.0,
            );
            told(
                &format!("{}: steps up after a step down, none", case.trace.name()),
                outcome.settled_returns,
                0.0,
            );
        }
    }
}

fn told(goal: &str, value: f64, most: f64) {
    let word = match value <= most {
        true => "met",
        false => "**missed**",
    };
    println!("- {word}: {goal}: {value:.3}");
}
