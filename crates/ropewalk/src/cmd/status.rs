//! `status`: whether the server answers, to whom, and how fast.

use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::{json, table};

#[derive(Serialize)]
struct Status {
    url: String,
    /// Milliseconds from question to answer.
    latency_ms: u64,
    account: String,
    apps: usize,
    in_maintenance: usize,
    requests_left: u64,
}

pub(crate) async fn run(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let asked = Instant::now();
    let account = client.account().await?;
    let latency_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (apps, limit) = tokio::join!(client.own_apps(), client.rate_limit());
    let (apps, limit) = (apps?, limit?);
    let status = Status {
        url: client.base().as_str().trim_end_matches('/').to_owned(),
        latency_ms,
        account: account.email,
        apps: apps.len(),
        in_maintenance: apps.iter().filter(|app| app.maintenance).count(),
        requests_left: limit.remaining,
    };
    if args.json {
        json::print(&cx.out, &status)?;
        return Ok(ExitCode::SUCCESS);
    }
    let maintenance = match status.in_maintenance {
        0 => String::new(),
        count => format!(" ({count} in maintenance)"),
    };
    cx.out.line(&table::object(&[
        (
            "Server".to_owned(),
            format!(
                "{} {} in {latency_ms} ms",
                status.url,
                cx.out.paint().good("answers")
            ),
        ),
        ("Account".to_owned(), status.account),
        ("Apps".to_owned(), format!("{}{maintenance}", status.apps)),
        ("Requests left".to_owned(), status.requests_left.to_string()),
    ]))?;
    Ok(ExitCode::SUCCESS)
}
