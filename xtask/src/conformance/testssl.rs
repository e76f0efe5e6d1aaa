//! testssl.sh against the router's TLS port: what it finds of medium severity or above is an error, unless the
//! certificate of a test means it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Bed;
use super::app::App;
use crate::packages;

/// Program and package of Debian and Ubuntu.
const NEEDED: [(&str, &str); 2] = [("testssl", "testssl.sh"), ("openssl", "openssl")];

/// What says nothing of the router, by the suite's ids.
const MEANT: [(&str, &str); 4] = [
    ("cert_chain_of_trust", "the certificate is signed by itself"),
    ("cert_revocation", "nobody issued it who could revoke it"),
    (
        "security_headers",
        "headers of answers are the app's, and this app sets none",
    ),
    (
        "engine_problem",
        "this machine's openssl has no GOST, which nobody offers here",
    ),
];

/// One line of the suite's report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

pub(super) fn run() -> Result<()> {
    packages::ensure_only(&NEEDED)?;
    let app = App::start()?;
    let bed = Bed::over(app.address)?;
    let report = bed.folder.path().join("testssl.json");
    let status = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "batch"])
        .args(["--ip", "127.0.0.1", "--jsonfile"])
        .arg(&report)
        .arg(format!("localhost:{}", bed.tls.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("testssl could not be run")?;
    // Its status counts what it dislikes; above that, it did not do its work.
    if status.code().is_none_or(|code| code > 200) {
        bail!("testssl failed ({status})");
    }
    let report = std::fs::read_to_string(&report).context("testssl wrote no report")?;
    tell(&serde_json::from_str::<Vec<Finding>>(&report)?)
}

fn tell(findings: &[Finding]) -> Result<()> {
    // The last of a run that came to its end.
    if !findings.iter().any(|finding| finding.id == "scanTime") {
        bail!("testssl did not come to its end");
    }
    let mut wrong = 0;
    let mut meant = 0;
    for finding in findings.iter().filter(|finding| finding.is_grave()) {
        let known = MEANT.iter().find(|(id, _)| *id == finding.id);
        let mark = match known {
            Some((_, why)) => format!(" (meant: {why})"),
            None => String::new(),
        };
        println!(
            "       {} {}: {}{mark}",
            finding.severity, finding.id, finding.finding
        );
        match known {
            Some(_) => meant += 1,
            None => wrong += 1,
        }
    }
    println!(
        "TLS    {} findings, {} of medium severity or above, {meant} of them meant",
        findings.len(),
        wrong + meant
    );
    match wrong {
        0 => Ok(()),
        _ => bail!("{wrong} findings that should not be"),
    }
}

impl Finding {
    /// Whether it is neither harmless nor a mere note. What could not be tested is grave too.
    fn is_grave(&self) -> bool {
        !matches!(self.severity.as_str(), "OK" | "INFO" | "LOW" | "DEBUG")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, severity: &str) -> Finding {
        Finding {
            id: id.to_owned(),
            severity: severity.to_owned(),
            finding: String::new(),
        }
    }

    #[test]
    fn what_is_grave_and_not_meant_is_an_error() {
        let end = finding("scanTime", "INFO");
        let told = |id, severity| tell(&[finding(id, severity), end.clone()]);
        assert!(told("HSTS", "LOW").is_ok());
        for severity in ["MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"] {
            assert!(told("BREACH", severity).is_err());
        }
        for (id, _) in MEANT {
            assert!(told(id, "CRITICAL").is_ok());
        }
        assert!(tell(&[finding("HSTS", "LOW")]).is_err(), "cut off");
    }
}
