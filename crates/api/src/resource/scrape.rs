//! `/ropewalk/prometheus`: requests, dynos and the server itself, for a Prometheus to scrape.
//!
//! Bounded in what it tells: apps and dynos that there are, six classes, the router's codes and fifteen buckets.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State as Shared;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use ropewalk_model::traffic::{Connections, Totals};
use ropewalk_model::{AppId, ResponseTimes};
use ropewalk_store::{App, Dyno};
use ropewalk_telemetry::{Distribution, Labels, Reading};

use crate::authorise::{Actor, Resource, Verb, authorise};
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};

/// As [`ropewalk_model::traffic::Requests::classes`].
const CLASSES: [&str; 6] = ["router", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Powers of two, in ms: from 8 ms to 65 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 3..=16;

pub(crate) async fn info(Shared(state): Shared<State>, actor: Actor) -> ApiResult {
    authorise(&actor, Verb::Read, Resource::Measures)?;
    let (mut apps, dynos) = state
        .ctx
        .store
        .read(|view| Ok((view.apps()?, view.all_dynos()?)))
        .await?;
    apps.retain(|app| !app.ephemeral);
    let totals = state.ctx.platform.totals();
    let text = reading(&apps, &dynos, &totals)
        .render()
        .map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, ropewalk_telemetry::CONTENT_TYPE)], text).into_response())
}

fn reading(apps: &[App], dynos: &[Dyno], totals: &BTreeMap<AppId, Totals>) -> Reading {
    let names: HashMap<AppId, &str> = apps.iter().map(|app| (app.id, app.name.as_str())).collect();
    let known: Vec<(&str, &Totals)> = totals
        .iter()
        .filter_map(|(app, totals)| Some((*names.get(app)?, totals)))
        .collect();
    let mut reading = Reading::default();
    reading.counters(
        "requests_total",
        "Requests that have ended, by app and class of their status; `router` is what no dyno answered.",
        known.iter().flat_map(|(app, totals)| {
            let counts = CLASSES.into_iter().zip(totals.requests.classes);
            counts.map(|(class, count)| (labels(app, "class", class), count as f64))
        }),
    );
    reading.counters(
        "router_answers_total",
        "Requests that the router answered or gave up on, by app and H-code or edge setting.",
        known.iter().flat_map(|(app, totals)| {
            let codes = totals.requests.codes.iter();
            codes.map(|(code, count)| (labels(app, "code", code), *count as f64))
        }),
    );
    reading.distributions(
        "response_seconds",
        "From handing a request to a dyno to the last byte of the answer.",
        known
            .iter()
            .map(|(app, totals)| (of(app), distribution(&totals.requests.times))),
    );
    reading.gauges(
        "requests_in_flight",
        "Requests that have not ended, those that wait included.",
        known
            .iter()
            .map(|(app, totals)| (of(app), totals.load.in_flight as f64)),
    );
    reading.gauges(
        "requests_waiting",
        "Requests that wait for a dyno.",
        known
            .iter()
            .map(|(app, totals)| (of(app), totals.load.waiting as f64)),
    );
    // Only of apps that had any.
    let routed = known
        .iter()
        .filter(|(_, totals)| totals.connections != Connections::default());
    let routed: Vec<_> = routed
        .map(|(app, totals)| (*app, &totals.connections))
        .collect();
    reading.counters(
        "tcp_connections_total",
        "Connections over TCP routes that have ended, by app and H-code; `none` is what no error ended.",
        routed.iter().flat_map(|(app, connections)| {
            let codes = connections.ended.iter();
            codes.map(|(code, count)| (labels(app, "code", code), *count as f64))
        }),
    );
    reading.gauges(
        "tcp_connections_open",
        "Connections over TCP routes that have not ended.",
        routed
            .iter()
            .map(|(app, connections)| (of(app), connections.open as f64)),
    );
    reading.counters(
        "tcp_bytes_total",
        "Bytes that passed over TCP routes: `in` from clients, `out` to them.",
        routed.iter().flat_map(|(app, connections)| {
            let ways = [("in", connections.bytes_in), ("out", connections.bytes_out)];
            ways.map(|(way, bytes)| (labels(app, "direction", way), bytes as f64))
        }),
    );
    let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for dyno in dynos {
        if let Some(app) = names.get(&dyno.app) {
            let key = (*app, dyno.name.process_type.as_str(), dyno.state.as_str());
            *counts.entry(key).or_default() += 1;
        }
    }
    reading.gauges(
        "dynos",
        "Dynos, by app, process type and state.",
        counts
            .into_iter()
            .map(|((app, process_type, state), count)| {
                let mut labels = labels(app, "process_type", process_type);
                labels.push(("state", state.to_owned()));
                (labels, count as f64)
            }),
    );
    reading
}

fn of(app: &str) -> Labels {
    vec![("app", app.to_owned())]
}

fn labels(app: &str, name: &'static str, value: &str) -> Labels {
    vec![("app", app.to_owned()), (name, value.to_owned())]
}

fn distribution(times: &ResponseTimes) -> Distribution {
    let bucket = |power: u32| {
        let ms = 1u64 << power;
        (ms as f64 / 1000.0, times.below(ms))
    };
    Distribution {
        buckets: BOUNDS.map(bucket).collect(),
        count: times.count(),
        sum: times.sum() as f64 / 1000.0,
    }
}
