//! `/ropewalk/apps/:app/metrics`: requests and memory of one app, over the last minutes and at the moment.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use ropewalk_api_types::Metrics;
use ropewalk_api_types::metrics::{Answers, DynoMetrics, Requests, ResponseMs, Window};
use ropewalk_model::traffic::{self, Load};
use ropewalk_model::{DynoId, ProcessType, Traffic, edge};
use ropewalk_store::Dyno;

use crate::authorise::{Actor, Verb};
use crate::resource::app;
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let id = app.id;
    let mut rows = state.ctx.store.read(move |view| view.dynos(id)).await?;
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    let ids = rows.iter().map(|row| row.id).collect();
    let memory = state.ctx.platform.memory(ids).await;
    let traffic = state.ctx.platform.traffic(app.id);
    let dynos = rows
        .iter()
        .map(|row| dyno(row, traffic.load.as_ref(), &memory))
        .collect();
    Ok(ok(&Metrics {
        windows: windows(&traffic, &rows),
        in_flight: traffic.load.as_ref().map(|load| load.in_flight),
        waiting: traffic.load.as_ref().map(|load| load.waiting),
        dynos,
        app: app::named(&app),
    }))
}

/// `web.2` before `web.10`; of two of one name the older one.
fn order(row: &Dyno) -> (&str, u32, jiff::Timestamp) {
    (
        row.name.process_type.as_str(),
        row.name.number,
        row.created_at,
    )
}

fn windows(traffic: &Traffic, rows: &[Dyno]) -> Vec<Window> {
    traffic
        .windows
        .iter()
        .map(|window| Window {
            seconds: window.seconds,
            measured_seconds: window.measured,
            process_types: vec![requests(
                ProcessType::web().to_string(),
                &window.app,
                window.measured,
            )],
            dynos: rows
                .iter()
                .filter_map(|row| {
                    let own = window.dynos.get(&row.id)?;
                    Some(requests(row.name.to_string(), own, window.measured))
                })
                .collect(),
            router_errors: router_errors(&window.app),
            edge_answers: edge_answers(&window.app),
        })
        .collect()
}

/// By H-code.
pub(crate) fn router_errors(own: &traffic::Requests) -> BTreeMap<String, u64> {
    codes(own, |name| !is_setting(name))
}

/// By edge setting.
pub(crate) fn edge_answers(own: &traffic::Requests) -> BTreeMap<String, u64> {
    codes(own, is_setting)
}

fn codes(own: &traffic::Requests, which: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
    let codes = own.codes.iter().filter(|(name, _)| which(name));
    codes.map(|(name, count)| (name.clone(), *count)).collect()
}

/// Codes are `H12`.
fn is_setting(name: &str) -> bool {
    edge::Name::parse(name).is_ok()
}

/// `seconds`: in which they ended.
pub(crate) fn requests(name: String, own: &traffic::Requests, seconds: u64) -> Requests {
    let [
        router,
        informational,
        success,
        redirection,
        client_error,
        server_error,
    ] = own.classes;
    let percentile = |percent| own.times.percentile(percent);
    let response_ms = percentile(50).zip(percentile(95)).zip(percentile(99));
    Requests {
        name,
        requests: own.total(),
        requests_per_second: per_second(own.total(), seconds),
        response_ms: response_ms.map(|((p50, p95), p99)| ResponseMs { p50, p95, p99 }),
        answers: Answers {
            informational,
            success,
            redirection,
            client_error,
            server_error,
            router,
        },
    }
}

/// To a hundredth.
fn per_second(count: u64, seconds: u64) -> f64 {
    let rate = count as f64 / seconds.max(1) as f64;
    (rate * 100.0).round() / 100.0
}

fn dyno(row: &Dyno, load: Option<&Load>, memory: &BTreeMap<DynoId, u64>) -> DynoMetrics {
    let takes_requests = row.name.process_type.is_web();
    DynoMetrics {
        id: row.id.0,
        name: row.name.to_string(),
        process_type: row.name.process_type.to_string(),
        size: row.size.name.to_string(),
        state: row.state.as_str().to_owned(),
        in_flight: load
            .filter(|_| takes_requests)
            .map(|load| load.dynos.get(&row.id).copied().unwrap_or(0)),
        memory_bytes: memory.get(&row.id).copied(),
        memory_limit_bytes: row.size.memory_mib << 20,
    }
}
