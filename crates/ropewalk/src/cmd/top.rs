//! `router:top`: the requests of the last seconds, by app or by dyno, drawn anew each second.

use std::cmp::{Ordering, Reverse};
use std::process::ExitCode;
use std::time::Duration;

use ropewalk_client::Error;
use ropewalk_client::types::Top;
use ropewalk_client::types::metrics::Answers;
use ropewalk_client::types::top::TopRow;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::metrics::{NOTHING, rate, told};
use crate::ui::table::Table;
use crate::ui::{Paint, Screen, json};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Column to sort by, largest first
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "requests")]
    sort: Sort,
    /// Show only so many rows
    #[arg(short = 'n', long = "top", value_name = "ROWS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    most: u16,
    /// Look once; so it is where the output is no terminal, too
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    Requests,
    InFlight,
    Queue,
    P50,
    P95,
    P99,
    #[value(name = "4xx")]
    ClientErrors,
    #[value(name = "5xx")]
    ServerErrors,
    Router,
    /// From a to z
    Name,
}

pub(crate) async fn show(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = match args.app.app.is_some() || args.app.remote.is_some() {
        true => Some(cx.app(&args.app).await?),
        false => None,
    };
    let client = cx.client()?;
    let look = || client.top(app.as_deref());
    let first = look().await?;
    if args.json.json {
        json::print(&cx.out, &first)?;
        return Ok(ExitCode::SUCCESS);
    }
    let render = |top: &Top| render(top, args.sort, args.most.into(), cx.out.paint());
    if args.once || !Screen::is_possible(cx.env.term.as_deref()) {
        cx.out.line(&render(&first))?;
        return Ok(ExitCode::SUCCESS);
    }

    let mut ends = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let [interrupt, terminate, hangup] = &mut ends;
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    period.tick().await;
    let mut screen = Screen::open()?;
    let mut picture = render(&first);
    let mut trouble = None;
    loop {
        screen.draw(&with_foot(&picture, trouble.as_deref(), cx.out.paint()))?;
        let next = async {
            period.tick().await;
            look().await
        };
        let looked = tokio::select! {
            looked = next => looked,
            quit = screen.quit() => {
                quit?;
                return Ok(ExitCode::SUCCESS);
            }
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
            _ = hangup.recv() => return Ok(ExitCode::SUCCESS),
        };
        trouble = match looked {
            Ok(top) => {
                picture = render(&top);
                None
            }
            Err(error) if may_pass(&error) => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
    }
}

/// Such as a server that restarts.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::BadAnswer { .. } => true,
        Error::Api(error) => error.status >= 500 || error.status == 429,
        _ => false,
    }
}

/// Below the picture, or in place of its first line where that is no longer true.
fn with_foot(picture: &str, trouble: Option<&str>, paint: Paint) -> String {
    match trouble {
        None => format!("{picture}\n\n{}", paint.dim("q quits")),
        Some(trouble) => {
            let rest = picture.split_once('\n').map_or("", |(_, rest)| rest);
            let told = paint.bad(&format!("Not up to date: {trouble}. Trying again."));
            format!("{told}\n{rest}\n\n{}", paint.dim("q quits"))
        }
    }
}

/// One picture, without a line feed at the end.
fn render(top: &Top, sort: Sort, most: usize, paint: Paint) -> String {
    let mut text = format!("{} {}", paint.dim("==="), paint.bold(&title(top)));
    let of_one = !top.dynos.is_empty();
    if top.apps.is_empty() {
        text.push_str("\n\nNo app has requests.");
        return text;
    }
    let mut table = Table::with_headings(&[
        if of_one { "Dyno" } else { "App" },
        "Requests/s",
        "In flight",
        "Queue",
        "p50",
        "p95",
        "p99",
        "2xx",
        "3xx",
        "4xx",
        "5xx",
        "Router",
        "Codes",
    ]);
    let rows = match of_one {
        // What its dynos are parts of stands above them.
        true => {
            for app in &top.apps {
                table.row(cells(app, paint.app(&app.requests.name), paint));
            }
            &top.dynos
        }
        false => &top.apps,
    };
    let mut rows: Vec<&TopRow> = rows.iter().collect();
    rows.sort_by(|a, b| compare(a, b, sort));
    let left = rows.len().saturating_sub(most);
    for row in rows.into_iter().take(most) {
        let name = match of_one {
            true => paint.dyno(&row.requests.name),
            false => paint.app(&row.requests.name),
        };
        table.row(cells(row, name, paint));
    }
    text.push_str("\n\n");
    text.push_str(&table.render());
    if left > 0 {
        text.push_str(&format!("\n… and {left} more"));
    }
    text
}

/// `123 requests/s, 4 in flight, 1 waiting (last 10 s)`
fn title(top: &Top) -> String {
    let rates = top.apps.iter().map(|app| app.requests.requests_per_second);
    let per_second = rate(rates.fold(0.0, |sum, rate| sum + rate));
    let sum = |value: fn(&TopRow) -> Option<u64>| -> Option<u64> {
        top.apps.iter().map(value).sum::<Option<u64>>()
    };
    let load = match (sum(|app| app.in_flight), sum(|app| app.waiting)) {
        // Without apps it is not known whether a router is there.
        _ if top.apps.is_empty() => String::new(),
        (Some(in_flight), Some(waiting)) => format!(", {in_flight} in flight, {waiting} waiting"),
        _ => ", no router is connected".to_owned(),
    };
    let measured = match top.measured_seconds < top.seconds {
        true => format!(", {} s measured", top.measured_seconds),
        false => String::new(),
    };
    format!(
        "{per_second} requests/s{load} (last {} s{measured})",
        top.seconds
    )
}

/// Largest first, of equals by name; what has no value comes last.
fn compare(a: &TopRow, b: &TopRow, sort: Sort) -> Ordering {
    let key = |row: &TopRow| -> Option<u64> {
        let times = row.requests.response_ms;
        match sort {
            Sort::Requests => Some(row.requests.requests),
            Sort::InFlight => row.in_flight,
            Sort::Queue => row.waiting,
            Sort::P50 => times.map(|times| times.p50),
            Sort::P95 => times.map(|times| times.p95),
            Sort::P99 => times.map(|times| times.p99),
            Sort::ClientErrors => Some(row.requests.answers.client_error),
            Sort::ServerErrors => Some(row.requests.answers.server_error),
            Sort::Router => Some(row.requests.answers.router),
            Sort::Name => None,
        }
    };
    let by_name = || order(&a.requests.name).cmp(&order(&b.requests.name));
    Reverse(key(a)).cmp(&Reverse(key(b))).then_with(by_name)
}

/// `web.2` before `web.10`.
fn order(name: &str) -> (&str, u32) {
    let numbered = name
        .rsplit_once('.')
        .and_then(|(kind, number)| Some((kind, number.parse().ok()?)));
    numbered.unwrap_or((name, 0))
}

fn cells(row: &TopRow, name: String, paint: Paint) -> [String; 13] {
    let count = |value: Option<u64>| value.map_or(NOTHING.to_owned(), |count| count.to_string());
    let times = row.requests.response_ms;
    let ms = |value: Option<u64>| value.map_or(NOTHING.to_owned(), |ms| format!("{ms} ms"));
    let Answers {
        success,
        redirection,
        client_error,
        server_error,
        router,
        ..
    } = row.requests.answers;
    [
        name,
        rate(row.requests.requests_per_second),
        count(row.in_flight),
        count(row.waiting),
        ms(times.map(|times| times.p50)),
        ms(times.map(|times| times.p95)),
        ms(times.map(|times| times.p99)),
        success.to_string(),
        redirection.to_string(),
        client_error.to_string(),
        match server_error {
            0 => "0".to_owned(),
            count => paint.bad(&count.to_string()),
        },
        router.to_string(),
        codes(row, paint),
    ]
}

/// `H12 3, rate-limit 20`
fn codes(row: &TopRow, paint: Paint) -> String {
    let errors = told(&row.router_errors, |code| paint.bad(code));
    let edge = told(&row.edge_answers, |name| paint.key(name));
    match (errors.is_empty(), edge.is_empty()) {
        (false, false) => format!("{errors}, {edge}"),
        _ => errors + &edge,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ropewalk_client::types::metrics::{Requests, ResponseMs};

    use super::*;

    fn row(name: &str, requests: u64, p95: Option<u64>, waiting: Option<u64>) -> TopRow {
        TopRow {
            id: Default::default(),
            requests: Requests {
                name: name.to_owned(),
                requests,
                requests_per_second: requests as f64 / 10.0,
                response_ms: p95.map(|p95| ResponseMs {
                    p50: 1,
                    p95,
                    p99: p95,
                }),
                answers: Answers::default(),
            },
            in_flight: waiting,
            waiting,
            router_errors: BTreeMap::new(),
            edge_answers: BTreeMap::new(),
        }
    }

    #[test]
    fn rows_are_sorted_by_each_column() {
        let rows = [
            row("web.10", 5, Some(9), Some(0)),
            row("web.2", 5, None, Some(2)),
            row("api", 7, Some(4), None),
        ];
        let sorted = |sort| {
            let mut rows: Vec<&TopRow> = rows.iter().collect();
            rows.sort_by(|a, b| compare(a, b, sort));
            let names = rows.iter().map(|row| row.requests.name.as_str());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sorted(Sort::Requests), "api web.2 web.10");
        assert_eq!(sorted(Sort::P95), "web.10 api web.2");
        assert_eq!(sorted(Sort::Queue), "web.2 web.10 api");
        assert_eq!(sorted(Sort::InFlight), "web.2 web.10 api");
        assert_eq!(sorted(Sort::ServerErrors), "api web.2 web.10");
        assert_eq!(sorted(Sort::Name), "api web.2 web.10");
    }

    #[test]
    fn what_is_not_up_to_date_is_said_above_it() {
        let paint = Paint { on: false };
        assert_eq!(with_foot("a\n\nb", None, paint), "a\n\nb\n\nq quits");
        assert_eq!(
            with_foot("a\n\nb", Some("the server could not be reached"), paint),
            "Not up to date: the server could not be reached. Trying again.\n\nb\n\nq quits"
        );
    }
}
