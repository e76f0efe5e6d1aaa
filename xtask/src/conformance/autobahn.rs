//! Autobahn's fuzzing client against an echo server, directly and through the router: the router must change nothing.
//!
//! What the echo server itself gets wrong is its own affair, so every case is held to the direct one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::Bed;
use crate::process::exists;

#[derive(Args)]
pub(super) struct Autobahn {
    /// A WebSocket server on this machine that sends every message back
    #[arg(long, value_name = "ADDR")]
    echo: SocketAddr,
    /// Also the 216 cases with compressed messages, which take half an hour
    #[arg(long)]
    compression: bool,
}

/// How a case ended, by the suite's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    behavior: String,
    behavior_close: String,
}

/// By agent, then by the case's number.
type Report = BTreeMap<String, BTreeMap<String, Case>>;

impl Autobahn {
    pub(super) fn run(&self) -> Result<()> {
        if !exists("wstest") {
            bail!("wstest is not on the PATH; with Python 2.7: pip install autobahntestsuite");
        }
        let bed = Bed::over(self.echo)?;
        let folder = bed.folder.path();
        let left_out: &[&str] = match self.compression {
            true => &[],
            false => &["12.*", "13.*"],
        };
        let spec = json!({
            "outdir": folder.join("report"),
            "servers": [
                {"agent": "direct", "url": format!("ws://{}", self.echo)},
                {"agent": "router", "url": format!("ws://{}", bed.plain)},
            ],
            "cases": ["*"],
            "exclude-cases": left_out,
            "exclude-agent-cases": {},
        });
        let spec_file = folder.join("spec.json");
        std::fs::write(&spec_file, spec.to_string())?;
        let status = Command::new("wstest")
            .args(["--mode", "fuzzingclient", "--spec"])
            .arg(&spec_file)
            .stdout(Stdio::null())
            .status()
            .context("wstest could not be run")?;
        if !status.success() {
            bail!("wstest failed ({status})");
        }
        let report = std::fs::read_to_string(folder.join("report/index.json"))
            .context("wstest wrote no report")?;
        tell(&serde_json::from_str(&report)?)
    }
}

fn tell(report: &Report) -> Result<()> {
    let cases = |agent: &str| {
        report
            .get(agent)
            .with_context(|| format!("no {agent} cases"))
    };
    let (direct, through) = (cases("direct")?, cases("router")?);
    for (agent, cases) in report {
        let passed = cases.values().filter(|case| case.passes()).count();
        println!("{agent:<7} {} cases, {passed} passed", cases.len());
    }
    let differ: Vec<&String> = direct
        .iter()
        .filter(|(number, case)| {
            through
                .get(*number)
                .is_none_or(|other| !case.is_like(other))
        })
        .map(|(number, _)| number)
        .collect();
    for number in &differ {
        let ends = [direct, through].map(|cases| cases.get(*number));
        println!("        {number}: {ends:?}");
    }
    match differ.is_empty() {
        true => Ok(()),
        false => bail!("{} cases end otherwise through the router", differ.len()),
    }
}

impl Case {
    fn passes(&self) -> bool {
        matches!(
            self.behavior.as_str(),
            "OK" | "NON-STRICT" | "INFORMATIONAL" | "UNIMPLEMENTED"
        )
    }

    /// Whether a message before an error is still echoed (strict) or not (non-strict) depends on how bytes come
    /// together in the server's reads, and may differ from run to run.
    fn is_like(&self, other: &Case) -> bool {
        let of = |case: &Case| match case.behavior.as_str() {
            "NON-STRICT" => "OK".to_owned(),
            behavior => behavior.to_owned(),
        };
        of(self) == of(other) && self.behavior_close == other.behavior_close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(behavior: &str, close: &str) -> Result<()> {
        let case = |behavior: &str, close: &str| json!({"1.1": {"behavior": behavior, "behaviorClose": close, "duration": 1}});
        let text = json!({"direct": case("OK", "OK"), "router": case(behavior, close)});
        tell(&serde_json::from_value(text)?)
    }

    #[test]
    fn the_router_is_held_to_the_direct_way() {
        assert!(report("OK", "OK").is_ok());
        assert!(report("NON-STRICT", "OK").is_ok());
        assert!(report("FAILED", "OK").is_err());
        assert!(report("OK", "UNCLEAN").is_err());
        assert!(tell(&Report::new()).is_err());
    }
}
