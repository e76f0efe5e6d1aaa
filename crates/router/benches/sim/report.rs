//! The tables, and which goals are met.

use super::router::Policy;
use super::world::{Outcome, PLACES, Scene, run};

pub(super) struct Report {
    /// Simulated, of each run.
    pub(super) seconds: f64,
    /// Runs of each case, each with other chances; the median counts.
    pub(super) seeds: u64,
}

const LIMIT: u64 = PLACES as u64;
/// What is compared: name and policy.
const POLICIES: [(&str, Policy); 5] = [
    ("random (Heroku)", Policy::Random),
    ("round robin", Policy::RoundRobin),
    ("Ropewalk", Policy::Ours(None)),
    ("Ropewalk, limit 5", Policy::Ours(Some(LIMIT))),
    ("ideal line", Policy::Ideal(LIMIT)),
];
const OURS: usize = 3;
const IDEAL: usize = 4;

impl Report {
    pub(super) fn print(&self) {
        let mut one = Vec::new();
        for scene in Scene::ALL {
            println!("\n#### One router, {}\n", scene.name());
            head();
            let outcomes = POLICIES.map(|(name, policy)| {
                let outcome = self.median(scene, policy, 1);
                row(name, outcome);
                outcome
            });
            one.push((scene, outcomes));
        }
        let mut eight = Vec::new();
        for scene in Scene::ALL {
            println!(
                "\n#### Eight routers that know nothing of each other, {}\n",
                scene.name()
            );
            head();
            let [random, plain] = [POLICIES[0], POLICIES[2]];
            row(random.0, self.median(scene, random.1, 8));
            let outcome = self.median(scene, plain.1, 8);
            row(plain.0, outcome);
            eight.push(outcome);
        }
        println!("\nGoals:\n");
        goals(&one, &eight);
    }

    fn median(&self, scene: Scene, policy: Policy, routers: usize) -> Outcome {
        let runs: Vec<Outcome> = (1..=self.seeds)
            .map(|seed| run(scene, policy, routers, self.seconds, seed))
            .collect();
        let middle = |of: fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Outcome {
            p50: middle(|run| run.p50),
            p95: middle(|run| run.p95),
            p99: middle(|run| run.p99),
            p999: middle(|run| run.p999),
            failed: middle(|run| run.failed),
            share: middle(|run| run.share),
            unevenness: middle(|run| run.unevenness),
            inside: middle(|run| run.inside),
            idle: middle(|run| run.idle),
        }
    }
}

fn head() {
    println!(
        "| policy | p50 ms | p95 | p99 | p99.9 | failed or over 30 s, % | share max/fair | unevenness | worst line inside a dyno | idle while one waits, % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

fn row(name: &str, outcome: Outcome) {
    println!(
        "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {:.3} | {:.2} | {:.0} | {:.1} |",
        outcome.p50,
        outcome.p95,
        outcome.p99,
        outcome.p999,
        outcome.failed,
        outcome.share,
        outcome.unevenness,
        outcome.inside,
        outcome.idle
    );
}

fn goals(one: &[(Scene, [Outcome; POLICIES.len()])], eight: &[Outcome]) {
    for ((scene, outcomes), many) in one.iter().zip(eight) {
        let (ours, ideal, name) = (outcomes[OURS], outcomes[IDEAL], scene.name());
        told(
            &format!("{name}: p99 at most 1.02 times the ideal's"),
            ours.p99 / ideal.p99,
            1.02,
        );
        told(
            &format!("{name}: p99.9 at most 1.05 times the ideal's"),
            ours.p999 / ideal.p999,
            1.05,
        );
        match scene {
            Scene::Equal => {
                told(&format!("{name}: share at most 1.05"), ours.share, 1.05);
                told(
                    &format!("{name}: unevenness at most 0.15"),
                    ours.unevenness,
                    0.15,
                );
                told(&format!("{name}: idle while one waits, %"), ours.idle, 0.05);
            }
            Scene::Failing => told(
                &format!("{name}: failed requests at most 0.1 %"),
                ours.failed,
                0.1,
            ),
            Scene::Dead => told(
                &format!("{name}: failed requests none, %"),
                ours.failed,
                0.0,
            ),
            Scene::Silent => told(
                &format!("{name}: p99.9 at most 1,100 ms"),
                ours.p999,
                1_100.0,
            ),
            Scene::Mixed | Scene::Slow => {}
        }
        told(
            &format!("{name}: p99 of eight routers at most 1.03 times that of one"),
            many.p99 / outcomes[2].p99,
            1.03,
        );
    }
}

fn told(goal: &str, value: f64, most: f64) {
    let word = match value <= most {
        true => "met",
        false => "**missed**",
    };
    println!("- {word}: {goal}: {value:.3}");
}
