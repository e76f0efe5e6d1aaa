//! Health checks as they are kept with the slug whose files declare them.

use std::collections::BTreeMap;
use std::time::Duration;

use ropewalk_model::check::{Check, Number, Probe};
use ropewalk_model::{ProcessType, SlugId};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::row::to_json;
use crate::{Result, Slug, Tx};

/// The check of one process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCheck {
    pub process_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Of neither of them: whether it takes connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Seconds, as all that follow.
    pub interval: u64,
    pub timeout: u64,
    pub threshold: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<u64>,
    pub liveness: bool,
}

impl FileCheck {
    pub fn of(process_type: &ProcessType, check: &Check) -> Self {
        let (http, command, port) = match &check.probe {
            Probe::Http { path, port } => (Some(path.clone()), None, Some(*port)),
            Probe::Tcp { port } => (None, None, Some(*port)),
            Probe::Command(text) => (None, Some(text.clone()), None),
        };
        Self {
            process_type: process_type.to_string(),
            http,
            command,
            port,
            interval: check.interval.as_secs(),
            timeout: check.timeout.as_secs(),
            threshold: check.threshold,
            grace: check.grace.as_ref().map(Duration::as_secs),
            liveness: check.liveness,
        }
    }

    /// `None` of what this program would not have written.
    fn check(&self) -> Option<(ProcessType, Check)> {
        let port = self.port.map(u64::from);
        let probe = match (&self.http, &self.command) {
            (Some(path), _) => Probe::http(path, port),
            (None, Some(text)) => Probe::command(text),
            (None, None) => Probe::tcp(port),
        };
        let mut check = Check::new(probe.ok()?);
        check.set(Number::Interval, self.interval).ok()?;
        check.set(Number::Timeout, self.timeout).ok()?;
        check.set(Number::Threshold, self.threshold.into()).ok()?;
        if let Some(grace) = self.grace {
            check.set(Number::Grace, grace).ok()?;
        }
        check.liveness = self.liveness;
        Some((ProcessType::parse(&self.process_type).ok()?, check))
    }
}

impl Slug {
    /// By the process type whose dynos are asked.
    pub fn checks_by_type(&self) -> BTreeMap<ProcessType, Check> {
        self.checks.iter().filter_map(FileCheck::check).collect()
    }
}

impl Tx<'_> {
    /// Keeps the checks with the slug that was built with them.
    pub fn set_slug_checks(&self, slug: SlugId, checks: &[FileCheck]) -> Result<()> {
        self.conn.execute(
            "UPDATE slugs SET checks = ?2 WHERE id = ?1",
            params![slug.to_string(), to_json(&checks)?],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_read_as_it_was_kept() {
        let web = ProcessType::web();
        let mut http = Check::new(Probe::http("/up", None).unwrap());
        http.set(Number::Grace, 120).unwrap();
        let tcp = Check {
            liveness: false,
            ..Check::new(Probe::tcp(Some(6379)).unwrap())
        };
        let command = Check::new(Probe::command("bin/alive").unwrap());
        for check in [http, tcp, command] {
            let kept = serde_json::to_string(&FileCheck::of(&web, &check)).unwrap();
            let read: FileCheck = serde_json::from_str(&kept).unwrap();
            assert_eq!(read.check(), Some((web.clone(), check)), "{kept}");
        }
    }
}
