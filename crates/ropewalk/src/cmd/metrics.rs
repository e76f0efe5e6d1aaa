//! `metrics`: what an app's requests were like in the last minutes, and what its dynos use now.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ropewalk_client::types::Metrics;
use ropewalk_client::types::metrics::{DynoMetrics, Requests, Window};

use crate::cmd::context::{AppJsonArgs, Context};
use crate::ui::table::Table;
use crate::ui::{Paint, json};

/// What has no value.
pub(super) const NOTHING: &str = "-";

pub(crate) async fn show(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let metrics = cx.client()?.metrics(&app).await?;
    if args.json.json {
        json::print(&cx.out, &metrics)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    let name = paint.app(&metrics.app.name);
    for window in &metrics.windows {
        cx.out.heading(&format!(
            "{name}: last {} ({} s measured)",
            span(window.seconds),
            window.measured_seconds
        ))?;
        cx.out.line(&requests(window, paint))?;
        cx.out.line("")?;
    }
    cx.out.heading(&format!("{name}: now"))?;
    cx.out.line(&now(&metrics, paint))?;
    Ok(ExitCode::SUCCESS)
}

/// `minute`, `10 minutes`
fn span(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (1, 0) => "minute".to_owned(),
        (minutes, 0) => format!("{minutes} minutes"),
        _ => format!("{seconds} s"),
    }
}

fn requests(window: &Window, paint: Paint) -> String {
    if window.process_types.iter().all(|row| row.requests == 0) {
        return "No request ended in this time.".to_owned();
    }
    let mut table = Table::with_headings(&[
        "Dyno",
        "Requests/s",
        "p50",
        "p95",
        "p99",
        "2xx",
        "3xx",
        "4xx",
        "5xx",
        "Router",
    ]);
    for row in &window.process_types {
        let prefix = format!("{}.", row.name);
        table.row(cells(row, paint));
        for own in &window.dynos {
            if own.name.starts_with(&prefix) {
                table.row(cells(own, paint));
            }
        }
    }
    let mut text = table.render();
    let errors = told(&window.router_errors, |code| paint.bad(code));
    let edge = told(&window.edge_answers, |name| paint.key(name));
    let lines: Vec<String> = [("Router errors", errors), ("Answered at the edge", edge)]
        .into_iter()
        .filter(|(_, counts)| !counts.is_empty())
        .map(|(title, counts)| format!("{title}: {counts}"))
        .collect();
    if !lines.is_empty() {
        text.push_str(&format!("\n\n{}", lines.join("\n")));
    }
    text
}

/// `H12 3, H27 1`
pub(super) fn told(counts: &BTreeMap<String, u64>, paint: impl Fn(&str) -> String) -> String {
    let counts = counts.iter();
    let counts: Vec<String> = counts
        .map(|(name, count)| format!("{} {count}", paint(name)))
        .collect();
    counts.join(", ")
}

fn cells(row: &Requests, paint: Paint) -> [String; 10] {
    let ms = |value: Option<u64>| value.map_or(NOTHING.to_owned(), |ms| format!("{ms} ms"));
    let times = row.response_ms;
    let server_errors = row.answers.server_error.to_string();
    [
        paint.dyno(&row.name),
        rate(row.requests_per_second),
        ms(times.map(|times| times.p50)),
        ms(times.map(|times| times.p95)),
        ms(times.map(|times| times.p99)),
        row.answers.success.to_string(),
        row.answers.redirection.to_string(),
        row.answers.client_error.to_string(),
        match row.answers.server_error {
            0 => server_errors,
            _ => paint.bad(&server_errors),
        },
        row.answers.router.to_string(),
    ]
}

/// Three digits say enough.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate < 10.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

fn now(metrics: &Metrics, paint: Paint) -> String {
    let mut parts = Vec::new();
    if !metrics.dynos.is_empty() {
        let mut table = Table::with_headings(&["Dyno", "State", "In flight", "Memory"]);
        for dyno in &metrics.dynos {
            table.row([
                paint.dyno(&dyno.name),
                dyno.state.clone(),
                dyno.in_flight
                    .map_or(NOTHING.to_owned(), |count| count.to_string()),
                memory(dyno),
            ]);
        }
        parts.push(table.render());
    }
    parts.push(match (metrics.in_flight, metrics.waiting) {
        (Some(in_flight), Some(waiting)) => {
            format!("Requests in flight: {in_flight}, of which {waiting} wait for a dyno.")
        }
        _ => "No router is connected: what is in flight is not known.".to_owned(),
    });
    parts.join("\n\n")
}

/// `120 MiB of 512 MiB (23 %)`
fn memory(dyno: &DynoMetrics) -> String {
    let limit = dyno.memory_limit_bytes.max(1);
    let mib = |bytes: u64| format!("{} MiB", (bytes + (1 << 19)) >> 20);
    match dyno.memory_bytes {
        Some(used) => {
            let percent = u128::from(used) * 100 / u128::from(limit);
            format!("{} of {} ({percent} %)", mib(used), mib(limit))
        }
        None => NOTHING.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let rates = [0.0, 0.016, 9.994, 12.34, 99.94, 1234.5].map(rate);
        assert_eq!(rates, ["0.00", "0.02", "9.99", "12.3", "99.9", "1234"]);
        assert_eq!([60, 600, 90].map(span), ["minute", "10 minutes", "90 s"]);
    }
}
