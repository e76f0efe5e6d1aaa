//! Docker Engine as `install` finds it: started if it does not answer, told to keep containers over a restart.
//!
//! It may serve others too. Nothing that somebody has set is changed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use ropewalk_engine::{DockerEngine, Engine, EngineInfo};
use ropewalk_model::InstanceId;

use super::{loud, write};

const CONFIGURATION: &str = "/etc/docker/daemon.json";
/// An installation that has nothing: enough to ask the engine about itself.
const NOBODY: &str = "00000000";
/// For an engine that was started to answer.
const START: Duration = Duration::from_secs(30);

/// What the engine says of itself; `None` when none answers within 5 s.
pub(super) async fn info() -> Option<EngineInfo> {
    let engine = DockerEngine::connect(None, InstanceId::parse(NOBODY)?).ok()?;
    engine.info().await.ok()
}

/// Starts the engine of this host's service manager, and has it started at boot, unless one answers already.
pub(super) async fn ensure() -> Result<Option<EngineInfo>> {
    if let Some(info) = info().await {
        return Ok(Some(info));
    }
    loud(Command::new("systemctl").args(["enable", "--now", "docker.service"]))?;
    let began = Instant::now();
    loop {
        match info().await {
            None if began.elapsed() < START => tokio::time::sleep(Duration::from_millis(200)).await,
            answer => return Ok(answer),
        }
    }
}

/// What is done about live-restore, with which dynos go on while the engine is restarted or upgraded.
#[derive(Debug, PartialEq, Eq)]
enum LiveRestore {
    /// It is on.
    On,
    Write,
    /// It stays off; the reason.
    Leave(&'static str),
}

fn decide(configured: bool, engine: Option<&EngineInfo>) -> LiveRestore {
    match engine {
        None => LiveRestore::Leave("Docker Engine does not answer"),
        Some(info) if info.live_restore => LiveRestore::On,
        Some(info) if info.swarm => {
            LiveRestore::Leave("Docker Engine is a node of a swarm, which does not go with it")
        }
        Some(_) if configured => LiveRestore::Leave("/etc/docker/daemon.json is there already"),
        Some(_) => LiveRestore::Write,
    }
}

/// Turns live-restore on where that harms nobody; the text says why not otherwise.
pub(super) fn live_restore(engine: Option<&EngineInfo>) -> Result<Option<String>> {
    let path = Path::new(CONFIGURATION);
    match decide(path.exists(), engine) {
        LiveRestore::On => Ok(None),
        LiveRestore::Write => {
            write(path, "{\n  \"live-restore\": true\n}\n")?;
            // A reload is enough for it. An engine of another service manager reads it at its next start.
            let _ = Command::new("systemctl")
                .args(["try-reload-or-restart", "docker.service"])
                .stderr(Stdio::null())
                .status();
            Ok(None)
        }
        LiveRestore::Leave(reason) => Ok(Some(format!(
            "live-restore stays off, so that a restart of Docker Engine stops dynos: {reason}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(live_restore: bool, swarm: bool) -> EngineInfo {
        EngineInfo {
            version: "28.2.2".to_owned(),
            api_version: "1.50".to_owned(),
            cpus: 2,
            memory_bytes: 1 << 30,
            cgroup_version: 2,
            storage_driver: "overlay2".to_owned(),
            live_restore,
            swarm,
            data_root: "/var/lib/docker".into(),
            architecture: "x86_64".to_owned(),
        }
    }

    #[test]
    fn live_restore_is_set_only_where_that_harms_nobody() {
        let write = |configured, engine: Option<EngineInfo>| {
            decide(configured, engine.as_ref()) == LiveRestore::Write
        };
        assert!(write(false, Some(engine(false, false))));
        assert!(!write(true, Some(engine(false, false))), "somebody's file");
        assert!(matches!(
            decide(false, Some(&engine(false, true))),
            LiveRestore::Leave(reason) if reason.contains("swarm")
        ));
        assert!(
            !write(false, None),
            "a stopped engine may be a swarm's node"
        );
        assert_eq!(
            decide(false, Some(&engine(true, false))),
            LiveRestore::On,
            "a flag of its unit set it: both would keep it from starting"
        );
    }
}
