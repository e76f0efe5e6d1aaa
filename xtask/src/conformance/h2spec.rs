//! h2spec, strictly, on both ports: what it found, and whether that is known.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bed;
use super::app::App;
use crate::process::exists;

/// Seconds that a case may wait for what it expects.
const PATIENCE: &str = "5";

/// Fails on the port without TLS: what does not begin with HTTP/2's preface there is a request of HTTP/1.1, and answered
/// as one (400) before the connection is closed; the suite takes the answer for a frame.
const KNOWN: (&str, &str) = ("http2/3.5", "Sends invalid connection preface");

/// One case of a report.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    section: String,
    title: String,
    passed: bool,
}

pub(super) fn run() -> Result<()> {
    if !exists("h2spec") {
        bail!(
            "h2spec is not on the PATH; with Go: \
             go install github.com/summerwind/h2spec/cmd/h2spec@latest"
        );
    }
    let app = App::start()?;
    let bed = Bed::over(app.address)?;
    let mut unknown = Vec::new();
    for (name, port, tls) in [
        ("plain", bed.plain.port(), false),
        ("TLS", bed.tls.port(), true),
    ] {
        let report = bed.folder.path().join(format!("{name}.xml"));
        let mut suite = Command::new("h2spec");
        suite
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--strict", "--timeout", PATIENCE, "--junit-report"])
            .arg(&report)
            .args(tls.then_some(["--tls", "--insecure"]).iter().flatten())
            .stdout(Stdio::null());
        // It exits with 1 when a case fails: the report tells which.
        suite.status().context("h2spec could not be run")?;
        let report = std::fs::read_to_string(&report).context("h2spec wrote no report")?;
        let cases = cases(&report);
        if cases.is_empty() {
            bail!("there is no case in h2spec's report");
        }
        let failed: Vec<&Case> = cases.iter().filter(|case| !case.passed).collect();
        println!(
            "{name:<6} {} cases, {} passed",
            cases.len(),
            cases.len() - failed.len()
        );
        for case in failed {
            let known = !tls && (case.section.as_str(), case.title.as_str()) == KNOWN;
            let mark = if known { " (known)" } else { "" };
            println!("       failed: {} {}{mark}", case.section, case.title);
            if !known {
                unknown.push(format!("{name}: {} {}", case.section, case.title));
            }
        }
    }
    if !unknown.is_empty() {
        bail!("{} cases failed that should not", unknown.len());
    }
    Ok(())
}

/// The cases of a JUnit report as h2spec writes it.
fn cases(report: &str) -> Vec<Case> {
    let attribute = |case: &str, name: &str| {
        let rest = case.split_once(&format!(" {name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    report
        .split("<testcase")
        .skip(1)
        .filter_map(|case| {
            Some(Case {
                section: attribute(case, "package")?,
                title: attribute(case, "classname")?,
                passed: !["<failure", "<error", "<skipped"]
                    .iter()
                    .any(|mark| case.contains(mark)),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let report = r#"<testsuites><testsuite name="3.5. Preface" package="http2/3.5" tests="2">
            <testcase package="http2/3.5" classname="Sends client connection preface" time="0.1"></testcase>
            <testcase package="http2/3.5" classname="Sends invalid connection preface" time="0.1">
              <error>Connection closed</error></testcase></testsuite></testsuites>"#;
        let case = |title: &str, passed| Case {
            section: "http2/3.5".to_owned(),
            title: title.to_owned(),
            passed,
        };
        assert_eq!(
            cases(report),
            [
                case("Sends client connection preface", true),
                case("Sends invalid connection preface", false),
            ]
        );
        assert_eq!(cases(""), []);
    }
}
