//! The clients that people use, through the router to an app: curl, Python's and Node's, in HTTP/1.1 and HTTP/2.

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bed, free};
use crate::{packages, process};

/// Programs and packages of Debian and Ubuntu.
const NEEDED: [(&str, &str); 3] = [("node", "nodejs"), ("curl", "curl"), ("python3", "python3")];
/// Of Python's clients: a file of each, below where the distribution keeps them, and its package.
const MODULES: [(&str, &str); 3] = [
    ("requests/__init__.py", "python3-requests"),
    ("httpx/__init__.py", "python3-httpx"),
    ("h2/__init__.py", "python3-h2"),
];
const PYTHON_MODULES: &str = "/usr/lib/python3/dist-packages";

/// Program, script and its text. Python is the distribution's, which has these modules.
const CLIENTS: [(&str, &str, &str); 3] = [
    ("bash", "curl.sh", include_str!("clients/curl.sh")),
    (
        "/usr/bin/python3",
        "client.py",
        include_str!("clients/client.py"),
    ),
    ("node", "client.mjs", include_str!("clients/client.mjs")),
];

const LIMIT: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);

/// What a client cannot do, or the router is not meant to, by the case's name; with the reason.
const KNOWN: [(&str, &str); 1] = [(
    "HTTP/2, again on the same connection",
    "curl 7.88 with --http2-prior-knowledge breaks off a kept connection, Node's own server's too",
)];

pub(super) fn run() -> Result<()> {
    packages::ensure_only(&NEEDED)?;
    packages::ensure_files(Path::new(PYTHON_MODULES), &MODULES)?;
    let folder = tempfile::Builder::new()
        .prefix("ropewalk-clients-")
        .tempdir()?;
    let app = folder.path().join("app.mjs");
    std::fs::write(&app, include_str!("clients/app.mjs"))?;
    let address = free()?;
    let mut child = Command::new("node")
        .arg(&app)
        .env("PORT", address.port().to_string())
        .stdin(Stdio::null())
        .stdout(File::create(folder.path().join("app.log"))?)
        .spawn()?;
    let outcome = process::wait_for(LIMIT, "the app to listen", || {
        Ok(TcpStream::connect(address).is_ok())
    })
    .and_then(|()| Bed::over(address))
    .and_then(|bed| ask(&bed, folder.path()));
    process::end(child.id(), GRACE)?;
    child.wait()?;
    outcome
}

fn ask(bed: &Bed, folder: &Path) -> Result<()> {
    let mut wrong = 0;
    for (program, script, text) in CLIENTS {
        let file = folder.join(script);
        std::fs::write(&file, text)?;
        let output = Command::new(program)
            .arg(&file)
            .env("PLAIN", bed.plain.to_string())
            .env("TLS", bed.tls.to_string())
            .env("FOLDER", folder)
            // A proxy of this machine's is no part of the way.
            .env("no_proxy", "127.0.0.1")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("{program} could not be run"))?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let cases = cases(&told);
        if !output.status.success() || cases.is_empty() {
            bail!(
                "{script} ended with {} after {} cases",
                output.status,
                cases.len()
            );
        }
        let passed = cases.iter().filter(|case| case.why.is_none()).count();
        println!("{script:<12} {} cases, {passed} passed", cases.len());
        for case in &cases {
            let Some(why) = &case.why else { continue };
            match KNOWN.iter().find(|(name, _)| *name == case.name) {
                Some((_, reason)) => println!("             {}: known, {reason}", case.name),
                None => {
                    println!("             failed: {}: {why}", case.name);
                    wrong += 1;
                }
            }
        }
    }
    match wrong {
        0 => Ok(()),
        _ => bail!("{wrong} cases failed that should not"),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Case {
    name: String,
    /// It failed.
    why: Option<String>,
}

/// Lines `passed NAME` and `failed NAME: WHY`.
fn cases(told: &str) -> Vec<Case> {
    told.lines()
        .filter_map(|line| match line.split_once(' ')? {
            ("passed", name) => Some(Case {
                name: name.to_owned(),
                why: None,
            }),
            ("failed", rest) => {
                let (name, why) = rest.split_once(": ")?;
                Some(Case {
                    name: name.to_owned(),
                    why: Some(why.to_owned()),
                })
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_from_what_a_client_prints() {
        let read = cases("passed HTTP/2, GET\nnoise\nfailed HTTP/2, PUT: it: broke\n");
        let case = |name: &str, why: Option<&str>| Case {
            name: name.to_owned(),
            why: why.map(str::to_owned),
        };
        assert_eq!(
            read,
            [
                case("HTTP/2, GET", None),
                case("HTTP/2, PUT", Some("it: broke"))
            ]
        );
    }
}
