//! What the API costs: requests over a unix socket, beside a bare handler that answers bytes of the same size to the
//! same number of connections in the same run. For `cargo xtask bench api`; see docs/benchmarks.md.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a tool for terminals
#![allow(dead_code)] // of the rig that it shares with the tests

mod ask;
#[path = "../../tests/api/rig.rs"]
mod rig;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use ropewalk_api::Rate;
use serde_json::json;

use crate::ask::{Load, Server};
use crate::rig::{DEV, Rig};

/// Apps in the ledger, of which each is deployed.
const SIZES: [usize; 2] = [10, 1_000];
/// Ours and the bare one take turns so often.
const ROUNDS: usize = 5;

/// One request that is measured.
struct Case {
    name: &'static str,
    method: &'static str,
    /// `{n}` is the number of an app, another one each time.
    path: &'static str,
    /// The same for `{n}`; `{turn}` is a number that never comes twice.
    body: &'static str,
    /// Requests of a round.
    requests: usize,
}

const CASES: [Case; 3] = [
    Case {
        name: "GET /apps/:app",
        method: "GET",
        path: "/apps/app-{n}",
        body: "",
        requests: 2_000,
    },
    Case {
        name: "GET /apps (a page)",
        method: "GET",
        path: "/apps",
        body: "",
        requests: 100,
    },
    Case {
        name: "PATCH config-vars",
        method: "PATCH",
        path: "/apps/app-{n}/config-vars",
        body: r#"{"A":"{turn}"}"#,
        requests: 400,
    },
];

/// Percentiles of one case.
#[derive(Clone, Copy)]
struct Figures {
    p50: Duration,
    p99: Duration,
}

impl Figures {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |share: f64| {
            let place = (samples.len() as f64 * share) as usize;
            samples[place.min(samples.len() - 1)]
        };
        Self {
            p50: at(0.50),
            p99: at(0.99),
        }
    }
}

fn main() {
    let connections = number("ROPEWALK_BENCH_CONNECTIONS", 8);
    let rounds = number("ROPEWALK_BENCH_ROUNDS", ROUNDS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(connections, rounds));
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
        .max(1)
}

async fn run(connections: usize, rounds: usize) {
    println!(
        "Microseconds; {connections} connections, {rounds} rounds in turn with the bare handler.\n"
    );
    println!("| request | apps | p50 | p99 | bare p50 | bare p99 | ratio p50 | ratio p99 |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut by_size = Vec::new();
    for apps in SIZES {
        let rig = furnished(apps).await;
        let ours = Server::start(rig.router.clone());
        let mut figures = Vec::new();
        for case in &CASES {
            figures.push(measure(case, &rig, &ours, apps, (connections, rounds)).await);
        }
        by_size.push(figures);
    }
    println!("\nGrowth from {} to {} apps:\n", SIZES[0], SIZES[1]);
    for (n, case) in CASES.iter().enumerate() {
        let (small, large) = (by_size[0][n], by_size[1][n]);
        println!(
            "- {}: p50 x {:.2}, p99 x {:.2}",
            case.name,
            ratio(large.p50, small.p50),
            ratio(large.p99, small.p99)
        );
    }
}

/// A ledger with so many deployed apps.
async fn furnished(apps: usize) -> Rig {
    let rig = Rig::with_rate(Rate {
        burst: u32::MAX,
        per_minute: 0,
    })
    .await;
    for n in 0..apps {
        let id = rig.app(&format!("app-{n}")).await;
        rig.deploy(id, &[("web", "node web.js")]).await;
    }
    rig
}

async fn measure(
    case: &Case,
    rig: &Rig,
    ours: &Server,
    apps: usize,
    (connections, rounds): (usize, usize),
) -> Figures {
    // What ours answers is what the bare one answers.
    let body = case.body.replace("{turn}", "0");
    let body = (!body.is_empty()).then(|| serde_json::from_str(&body).unwrap_or(json!({})));
    let answer = rig
        .call_as(DEV, case.method, &case.path.replace("{n}", "0"), body)
        .await;
    let text = bytes::Bytes::from(answer.text);
    let same = move |_: bytes::Bytes| {
        let text = text.clone();
        async move { text }
    };
    let bare = Server::start(
        Router::new()
            .route("/apps", get(same.clone()))
            .route("/apps/{app}", get(same.clone()))
            .route("/apps/{app}/config-vars", get(same.clone()).patch(same)),
    );
    let load = |seed| Load {
        case: (case.method, case.path, case.body),
        requests: case.requests,
        connections,
        apps,
        seed,
    };
    let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (ours, bare) = (ours.take(&load(round)).await, bare.take(&load(round)).await);
        // The first round warms up.
        if round > 0 {
            of_ours.extend(ours);
            of_bare.extend(bare);
        }
    }
    let (ours, bare) = (Figures::of(of_ours), Figures::of(of_bare));
    println!(
        "| {} | {apps} | {} | {} | {} | {} | {:.1} | {:.1} |",
        case.name,
        ours.p50.as_micros(),
        ours.p99.as_micros(),
        bare.p50.as_micros(),
        bare.p99.as_micros(),
        ratio(ours.p50, bare.p50),
        ratio(ours.p99, bare.p99)
    );
    ours
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
