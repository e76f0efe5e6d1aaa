//! slowhttptest: clients that send or read as slowly as they can, and whether others are served meanwhile.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bed;
use super::app::App;
use crate::process::exists;

/// Seconds of each attack; longer than the router waits for a head.
const LENGTH: &str = "45";
const CONNECTIONS: &str = "1000";

/// Slow heads, slow bodies, slow readers.
const ATTACKS: [(&str, &[&str]); 3] = [
    ("heads", &["-H", "-i", "10"]),
    ("bodies", &["-B", "-i", "10", "-s", "8192"]),
    (
        "readers",
        &[
            "-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3",
        ],
    ),
];

pub(super) fn run() -> Result<()> {
    if !exists("slowhttptest") {
        bail!("slowhttptest is not on the PATH; on Debian and Ubuntu: apt install slowhttptest");
    }
    let app = App::start()?;
    let bed = Bed::over(app.address)?;
    let mut failed = Vec::new();
    for (name, how) in ATTACKS {
        let prefix = bed.folder.path().join(name);
        let mut suite = Command::new("slowhttptest");
        suite
            .args(how)
            .args([
                "-c",
                CONNECTIONS,
                "-r",
                "200",
                "-l",
                LENGTH,
                "-p",
                "3",
                "-g",
                "-o",
            ])
            .arg(&prefix)
            .args(["-u", &format!("http://{}/", bed.plain)])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        suite.status().context("slowhttptest could not be run")?;
        let table = std::fs::read_to_string(prefix.with_extension("csv"))
            .context("slowhttptest wrote no table")?;
        let seconds = seconds(&table);
        let without = seconds.iter().filter(|second| !second.available).count();
        let most = seconds.iter().map(|second| second.connected).max();
        println!(
            "slow {name:<8} {} connections at most; {} s, {without} of them without service",
            most.unwrap_or(0),
            seconds.len()
        );
        if without > 0 || seconds.is_empty() {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("others were not served beside slow {}", failed.join(", "));
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Second {
    connected: u32,
    available: bool,
}

/// The rows `Seconds,Closed,Pending,Connected,Service Available`.
fn seconds(table: &str) -> Vec<Second> {
    table
        .lines()
        .filter_map(|line| {
            let numbers: Vec<u32> = line
                .split(',')
                .map(|cell| cell.trim().parse().ok())
                .collect::<Option<_>>()?;
            let [_, _, _, connected, available] = numbers[..] else {
                return None;
            };
            Some(Second {
                connected,
                available: available > 0,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let table =
            "Seconds,Closed,Pending,Connected,Service Available\n0,0,1,0,500\n1,0,0,200,0\n";
        let second = |connected, available| Second {
            connected,
            available,
        };
        assert_eq!(seconds(table), [second(0, true), second(200, false)]);
    }
}
