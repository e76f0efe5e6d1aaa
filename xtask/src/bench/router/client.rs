//! The clients: wrk asks as fast as it is answered, h2load at a fixed rate. Both run in this process's group.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::super::run::run;
use super::proxy::Proxy;
use super::scenario::Scenario;

/// Requests a second of each of the connections of [`Scenario::Rate`]: 2,000 in all.
const RATE: u16 = 40;
/// What a client may take beyond its time.
const LEEWAY: Duration = Duration::from_secs(30);
/// Bytes of an upload.
const UPLOAD: usize = 64 * 1024;

/// What wrk is to say at its end, as one line of JSON.
const REPORT: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"bytes":%d,"errors":%d,"p50":%d,"p99":%d,"p999":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

pub(super) struct Client {
    folder: PathBuf,
}

/// What the client saw. Latencies in microseconds.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Load {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) errors: f64,
}

/// The line of [`REPORT`].
#[derive(Deserialize)]
struct Line {
    requests: f64,
    micros: f64,
    errors: f64,
    p50: f64,
    p99: f64,
    p999: f64,
}

impl Client {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        std::fs::write(folder.join("get.lua"), REPORT)?;
        let post = format!("wrk.method = 'POST'\nwrk.body = string.rep('a', {UPLOAD})\n{REPORT}");
        std::fs::write(folder.join("post.lua"), post)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Loads a proxy for a while.
    pub(super) fn run(&self, scenario: Scenario, proxy: &Proxy, time: Duration) -> Result<Load> {
        let address = match scenario.is_tls() {
            true => format!("https://{}", proxy.tls),
            false => format!("http://{}", proxy.plain),
        };
        let url = address + scenario.path();
        let load = match scenario {
            Scenario::Rate => self.h2load(scenario, &url, time),
            _ => self.wrk(scenario, &url, time),
        };
        let load = load.with_context(|| format!("{}: {}", proxy.kind.name(), scenario.name()))?;
        if load.requests < 1.0 {
            bail!(
                "{} answered nothing ({}):\n{}",
                proxy.kind.name(),
                scenario.name(),
                proxy.group.said()
            );
        }
        Ok(load)
    }

    fn wrk(&self, scenario: Scenario, url: &str, time: Duration) -> Result<Load> {
        let mut command = Command::new("wrk");
        command
            .args(["--threads", "1", "--timeout", "8s", "--connections"])
            .arg(scenario.connections().to_string())
            .arg("--duration")
            .arg(format!("{}s", time.as_secs()))
            .arg("--script")
            .arg(self.folder.join(match scenario {
                Scenario::Uploads => "post.lua",
                _ => "get.lua",
            }));
        if matches!(scenario, Scenario::Connections | Scenario::Handshakes) {
            command.args(["--header", "Connection: close"]);
        }
        let said = run(command.arg(url), time + LEEWAY)?;
        said.lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Line>(line).ok())
            .map(Load::from)
            .with_context(|| format!("wrk reported nothing:\n{said}"))
    }

    fn h2load(&self, scenario: Scenario, url: &str, time: Duration) -> Result<Load> {
        let log = self.folder.join("h2load.log");
        // It would append.
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new("h2load");
        command
            .args(["--h1", "--threads=1"])
            .arg(format!("--clients={}", scenario.connections()))
            .arg(format!("--rps={RATE}"))
            .arg(format!("--duration={}", time.as_secs()))
            .arg(format!("--log-file={}", log.display()))
            .arg(url);
        run(&mut command, time + LEEWAY)?;
        let text = std::fs::read_to_string(&log).context("h2load wrote no log")?;
        Ok(of_log(&text, time))
    }
}

impl From<Line> for Load {
    fn from(line: Line) -> Self {
        Self {
            requests: line.requests,
            per_second: line.requests / (line.micros / 1e6),
            p50: line.p50,
            p99: line.p99,
            p999: line.p999,
            errors: line.errors,
        }
    }
}

/// h2load's log has a line for each request: when it began, the status, and how long it took.
fn of_log(text: &str, time: Duration) -> Load {
    let mut times = Vec::new();
    let mut errors = 0.0;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace().skip(1);
        match (
            fields.next(),
            fields.next().and_then(|time| time.parse().ok()),
        ) {
            (Some("200"), Some(time)) => times.push(time),
            _ => errors += 1.0,
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        let last = times.len().saturating_sub(1);
        times.get(index.min(last)).copied().unwrap_or(f64::NAN)
    };
    Load {
        requests: times.len() as f64,
        per_second: times.len() as f64 / time.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_line_by_line() {
        let mut text: String = (1..=100)
            .map(|time| format!("1700000000000000\t200\t{time}\n"))
            .collect();
        text.push_str("1700000000000000\t503\t5\n1700000000000000\t-1\t9\n");
        let load = of_log(&text, Duration::from_secs(4));
        assert_eq!((load.requests, load.per_second), (100.0, 25.0));
        assert_eq!((load.p50, load.p99, load.p999), (51.0, 100.0, 100.0));
        assert_eq!(load.errors, 2.0);
    }
}
