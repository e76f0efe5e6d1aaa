//! `ropewalk doctor`: is everything that the platform needs here, and how much does it use?

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use ropewalk_acme::Said;
use ropewalk_api_types::router::Certificates;
use ropewalk_api_types::task::Task;
use ropewalk_engine::{DockerEngine, Engine};
use ropewalk_ocsp::{State, Status};
use serde::Serialize;

use super::DataArg;
use super::data::{Data, ROUTER_CERTIFICATES, STAPLES};
use super::local::{self, Asked, StackStatus};
use crate::cmd::context::JsonArgs;
use crate::ui::Printer;

/// What server and router together should stay below, in bytes.
const MEMORY_GOAL: u64 = 50 << 20;
/// Builds do not start below this, in bytes.
const DISK_FLOOR: u64 = 5 << 30;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    data: DataArg,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    good: bool,
    detail: String,
    /// What to do, when it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let data = Data::existing(&self.data.data)?;
        let mut findings = vec![engine(&data).await];
        findings.extend(programs());
        findings.push(squashfs());
        findings.push(disk(&data.root));
        findings.push(stacks(&data));
        findings.extend(behind(&data).await);
        findings.extend(certificates(&data));
        findings.extend(processes(&data));
        findings.extend(tasks(&data).await);
        findings.push(heroku_host(std::env::var("HEROKU_HOST").ok().as_deref()));
        let good = findings.iter().all(|finding| finding.good);
        let printer = Printer::for_process();
        if self.json.json {
            printer.line(&serde_json::to_string_pretty(&findings)?)?;
        } else {
            for finding in &findings {
                let mark = if finding.good { "ok  " } else { "BAD " };
                printer.line(&format!("{mark} {:<16} {}", finding.check, finding.detail))?;
                if let Some(hint) = finding.hint.filter(|_| !finding.good) {
                    printer.line(&format!("     {:<16} {hint}", ""))?;
                }
            }
        }
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn finding(check: &'static str, good: bool, detail: String, hint: &'static str) -> Finding {
    Finding {
        check,
        good,
        detail,
        hint: (!good).then_some(hint),
    }
}

async fn engine(data: &Data) -> Finding {
    let hint = "start Docker Engine (systemctl start docker)";
    let engine = match DockerEngine::connect(None, data.instance.clone()) {
        Ok(engine) => engine,
        Err(error) => return finding("engine", false, error.to_string(), hint),
    };
    match engine.info().await {
        Ok(info) => {
            let detail = format!(
                "Docker Engine {} (API {}), {}, cgroup v{}, live-restore {}",
                info.version,
                info.api_version,
                info.storage_driver,
                info.cgroup_version,
                match (info.live_restore, info.swarm) {
                    (true, false) => "on",
                    (true, true) => "on, which does not go with the swarm that it is in",
                    (false, _) => "off: a restart of the engine stops dynos",
                }
            );
            finding("engine", true, detail, hint)
        }
        Err(error) => finding("engine", false, error.to_string(), hint),
    }
}

fn programs() -> Vec<Finding> {
    let needed = [
        ("git", "apt-get install git"),
        ("mksquashfs", "apt-get install squashfs-tools"),
        ("nft", "apt-get install nftables"),
        ("mount", "apt-get install mount"),
        ("debootstrap", "apt-get install debootstrap"),
    ];
    needed
        .into_iter()
        .map(|(name, hint)| {
            let good = super::programs::exists(name);
            finding(
                name,
                good,
                if good { "found" } else { "not found" }.to_owned(),
                hint,
            )
        })
        .collect()
}

fn squashfs() -> Finding {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let module = std::fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| {
        Path::new(&format!(
            "/lib/modules/{}/kernel/fs/squashfs",
            release.trim()
        ))
        .exists()
    });
    let good = known.split_whitespace().any(|word| word == "squashfs") || module;
    let detail = if good {
        "the kernel mounts squashfs"
    } else {
        "the kernel has no squashfs"
    };
    finding(
        "kernel",
        good,
        detail.to_owned(),
        "boot a kernel with CONFIG_SQUASHFS and CONFIG_SQUASHFS_LZ4",
    )
}

fn disk(root: &Path) -> Finding {
    let hint = "free space: builds are refused below 5 GiB";
    match rustix::fs::statvfs(root) {
        Ok(facts) => {
            let free = facts.f_bavail * facts.f_frsize;
            let detail = format!(
                "{:.1} GiB free at {}",
                free as f64 / (1u64 << 30) as f64,
                root.display()
            );
            finding("disk", free >= DISK_FLOOR, detail, hint)
        }
        Err(error) => finding("disk", false, format!("{}: {error}", root.display()), hint),
    }
}

fn stacks(data: &Data) -> Finding {
    let hint = "run `ropewalk stacks:build debian-13`";
    match super::stacks::built(data) {
        Ok(stacks) if stacks.is_empty() => finding("stacks", false, "none built".to_owned(), hint),
        Ok(stacks) => {
            let names: Vec<String> = stacks
                .iter()
                .map(|stack| format!("{} {}", stack.name, stack.version))
                .collect();
            finding("stacks", true, names.join(", "), hint)
        }
        Err(error) => finding("stacks", false, error.to_string(), hint),
    }
}

/// How many apps lack the packages of their stack's newest version; nothing where no server runs. That is nobody's
/// failure: an app may have been rolled back for good reason.
async fn behind(data: &Data) -> Option<Finding> {
    let stacks = local::stacks(data).await.ok()?;
    Some(finding("rebase", true, what_is_behind(&stacks), ""))
}

fn what_is_behind(stacks: &[StackStatus]) -> String {
    let behind: u32 = stacks.iter().map(|stack| stack.apps_behind).sum();
    if behind == 0 {
        return "no app runs on an older version of its stack".to_owned();
    }
    let all: u32 = stacks.iter().map(|stack| stack.apps).sum();
    format!(
        "{behind} of {all} apps run on an older version of their stack; `ropewalk rebase --all` puts them on the newest"
    )
}

/// Those that the router serves, wherever they came from.
fn certificates(data: &Data) -> Vec<Finding> {
    let text = match std::fs::read(data.path(ROUTER_CERTIFICATES)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let hint = "run it as the server's user";
            return vec![finding("certificates", false, error.to_string(), hint)];
        }
    };
    let served: Certificates = serde_json::from_slice(&text).unwrap_or_default();
    let ends = served.endpoints.iter().filter_map(|one| {
        let said = Said::of(&one.chain).ok()?;
        Some((said, one.hosts.join(", ")))
    });
    let now = Timestamp::now();
    let words = served.endpoints.iter().filter_map(|one| {
        let status = ropewalk_ocsp::look(&data.path(STAPLES), &one.chain, now)?;
        Some((status, one.hosts.join(", ")))
    });
    let mut findings = vec![ending(ends.collect(), now)];
    findings.extend(revoked(words.collect()));
    findings
}

/// What authorities say; nothing where none of them says anything of what it issued.
fn revoked(words: Vec<(Status, String)>) -> Option<Finding> {
    let trouble = words.iter().find_map(|(status, hosts)| {
        let trouble = status.trouble()?;
        Some(format!("{hosts}: {trouble}"))
    });
    let asked = words
        .iter()
        .filter(|(status, _)| status.must_staple || status.state != State::Nobody)
        .count();
    let good = words
        .iter()
        .filter(|(status, _)| matches!(status.state, State::Good { .. }))
        .count();
    let detail = match &trouble {
        Some(trouble) => trouble.clone(),
        None => format!("{good} of {asked} served with their authority's word"),
    };
    (asked > 0).then(|| {
        finding(
            "ocsp",
            trouble.is_none(),
            detail,
            "bring another certificate (`ropewalk certs:update`); why an authority does not answer is in the server's log",
        )
    })
}

fn ending(mut served: Vec<(Said, String)>, now: Timestamp) -> Finding {
    served.sort_by_key(|(said, _)| said.until);
    let Some((first, hosts)) = served.first() else {
        return finding("certificates", true, "none served".to_owned(), "");
    };
    let day = first.until.strftime("%Y-%m-%d");
    let (good, ends) = match first.until <= now {
        true => (false, "has ended"),
        false => (!first.ends_soon(now), "ends"),
    };
    let detail = format!("{} served; that of {hosts} {ends} on {day}", served.len());
    finding(
        "certificates",
        good,
        detail,
        "see the app's log for why it is not renewed (`ropewalk certs:auto`), the server's (journalctl -u ropewalk-server) \
         for names of the platform; or bring a newer one: `ropewalk certs:update`",
    )
}

/// Heroku's CLI falls back to heroku.com when it does not like the host, and sends the key along.
fn heroku_host(host: Option<&str>) -> Finding {
    let (good, detail) = match host.filter(|host| !host.is_empty()) {
        None => (true, "HEROKU_HOST is not set".to_owned()),
        Some(host) if crate::env::is_foreign(host) => (
            false,
            format!("HEROKU_HOST={host} makes Heroku's CLI send your key to Heroku"),
        ),
        Some(host) => (true, format!("HEROKU_HOST={host}")),
    };
    finding(
        "heroku",
        good,
        detail,
        "unset HEROKU_HOST, and run Heroku's CLI as `ropewalk heroku -- …`",
    )
}

fn processes(data: &Data) -> Vec<Finding> {
    let mut running = Vec::new();
    let mut findings = Vec::new();
    for (name, file) in [("server", "server.pid"), ("router", "router.pid")] {
        let memory = std::fs::read_to_string(data.socket(file))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .and_then(ropewalk_telemetry::resident);
        running.extend(memory);
        let detail = match memory {
            Some(memory) => format!(
                "runs, {:.1} MiB resident",
                memory.all as f64 / f64::from(1 << 20)
            ),
            None => "does not run".to_owned(),
        };
        findings.push(finding(
            name,
            memory.is_some(),
            detail,
            "start it: `ropewalk supervise`, or its unit",
        ));
    }
    // Both are one program, whose file is in memory once.
    let total = ropewalk_telemetry::together(&running);
    let detail = format!(
        "{:.1} MiB resident together (goal: at most {} MiB)",
        total as f64 / f64::from(1 << 20),
        MEMORY_GOAL >> 20
    );
    findings.push(finding(
        "memory",
        total <= MEMORY_GOAL,
        detail,
        "restart the larger one, and report it",
    ));
    findings
}

/// Whether what the server does all the time is done; nothing where no server runs, which is told otherwise.
async fn tasks(data: &Data) -> Option<Finding> {
    let hint =
        "see the server's log (journalctl -u ropewalk-server); restart it if nothing there helps";
    match local::tasks(data).await {
        Ok(tasks) => Some(in_time(&tasks, hint)),
        Err(Asked::NoServer) => None,
        Err(Asked::Failed(text)) => Some(finding("tasks", false, text, hint)),
    }
}

fn in_time(tasks: &[Task], hint: &'static str) -> Finding {
    let rounds = || {
        tasks
            .iter()
            .filter_map(|task| Some((task, task.rounds.as_ref()?)))
    };
    let late = rounds()
        .find(|(_, rounds)| rounds.late)
        .map(|(task, rounds)| {
            let last = match rounds.last_at {
                Some(at) => format!("its last round ended at {}", at.strftime("%H:%M:%S UTC")),
                None => "no round of it has ended".to_owned(),
            };
            format!("{} is late: {last}", task.name)
        });
    let failing = || {
        let (task, rounds) = rounds().find(|(_, rounds)| rounds.last_error.is_some())?;
        let error = rounds.last_error.as_ref()?;
        Some(format!("{} failed: {error}", task.name))
    };
    let stopped = || {
        let task = tasks.iter().find(|task| task.state == "backing_off")?;
        let error = task.last_error.as_deref().unwrap_or("no reason known");
        Some(format!(
            "{} failed and is started again: {error}",
            task.name
        ))
    };
    let trouble = late.or_else(failing).or_else(stopped);
    let good = trouble.is_none();
    let detail = trouble.unwrap_or_else(|| {
        let slowest = rounds().max_by_key(|(_, rounds)| rounds.last_took_ms);
        let slowest = slowest.map_or_else(String::new, |(task, rounds)| {
            format!(
                "; the longest last round is {}'s, {} ms",
                task.name, rounds.last_took_ms
            )
        });
        format!("{} come round in time{slowest}", rounds().count())
    });
    finding("tasks", good, detail, hint)
}

#[cfg(test)]
mod tests {
    use ropewalk_api_types::task::Rounds;

    use super::*;

    #[test]
    fn apps_behind_are_counted_over_all_stacks() {
        let stack = |apps, apps_behind| StackStatus {
            name: "debian-13".to_owned(),
            version: "sha256:13".to_owned(),
            apps,
            apps_behind,
        };
        assert!(what_is_behind(&[stack(4, 0)]).starts_with("no app"));
        assert!(what_is_behind(&[stack(4, 1), stack(2, 2)]).starts_with("3 of 6 apps"));
    }

    #[test]
    fn a_certificate_that_ends_soon_is_found() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let served = |until: &str| {
            let said = Said {
                names: Vec::new(),
                from: at("2026-01-01T00:00:00Z"),
                until: at(until),
            };
            (said, format!("ends-{until}"))
        };
        let now = at("2026-03-01T00:00:00Z");
        assert!(ending(Vec::new(), now).good);
        let good = served("2026-04-01T00:00:00Z");
        assert!(ending(vec![good.clone()], now).good);
        for (until, word) in [
            ("2026-03-10T00:00:00Z", "ends on 2026-03-10"),
            ("2026-02-28T00:00:00Z", "has ended on 2026-02-28"),
        ] {
            let finding = ending(vec![good.clone(), served(until)], now);
            assert!(
                !finding.good && finding.detail.ends_with(word),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn a_revoked_certificate_is_found() {
        let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
        let status = |state| Status {
            must_staple: false,
            state,
        };
        let named = |state| (status(state), "www.example.com".to_owned());
        assert!(revoked(vec![named(State::Nobody)]).is_none());
        let good = || named(State::Good { until: at });
        let finding = revoked(vec![good(), named(State::Pending), named(State::Nobody)]).unwrap();
        assert!(finding.good, "{finding:?}");
        assert_eq!(finding.detail, "1 of 2 served with their authority's word");
        let bad = named(State::Revoked { at, reason: None });
        let finding = revoked(vec![good(), bad]).unwrap();
        assert!(!finding.good, "{finding:?}");
        let begins = "www.example.com: the certificate was revoked by its authority on 2026-01-01";
        assert!(finding.detail.starts_with(begins), "{finding:?}");
    }

    #[test]
    fn a_task_that_is_late_or_fails_is_found() {
        let task = |name: &str, took: u64, late: bool, error: Option<&str>| Task {
            name: name.to_owned(),
            state: "running".to_owned(),
            running: 1,
            restarts: 0,
            last_error: None,
            last_error_at: None,
            rounds: Some(Rounds {
                count: 9,
                within_ms: 10_000,
                last_at: "2026-01-01T12:00:00Z".parse().ok(),
                last_took_ms: took,
                last_error: error.map(str::to_owned),
                late,
            }),
        };
        let quick = || task("scheduler", 7, false, None);
        let found = in_time(&[quick(), task("sweeper", 80, false, None)], "");
        assert!(found.good, "{found:?}");
        assert_eq!(
            found.detail,
            "2 come round in time; the longest last round is sweeper's, 80 ms"
        );
        let found = in_time(&[quick(), task("sweeper", 80, true, None)], "");
        assert!(!found.good, "{found:?}");
        assert_eq!(
            found.detail,
            "sweeper is late: its last round ended at 12:00:00 UTC"
        );
        let found = in_time(&[quick(), task("jobs", 1, false, Some("disk full"))], "");
        assert_eq!(
            (found.good, &*found.detail),
            (false, "jobs failed: disk full")
        );
        let mut again = quick();
        (again.state, again.rounds) = ("backing_off".to_owned(), None);
        assert!(!in_time(&[again], "").good);
    }

    #[test]
    fn a_host_that_leads_tokens_away_is_found() {
        assert!(heroku_host(None).good);
        assert!(heroku_host(Some("http://127.0.0.1:5000")).good);
        let finding = heroku_host(Some("https://api.example.com"));
        assert!(!finding.good && finding.hint.is_some(), "{finding:?}");
    }
}
