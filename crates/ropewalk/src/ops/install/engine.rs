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
/// For one that was told to read its settings again.
const RELOAD: Duration = Duration::from_secs(5);

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

/// What the engine's settings say about live-restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settings {
    /// There are none.
    Absent,
    /// Turn it on.
    On,
    /// Somebody's, of something else.
    Other,
}

impl Settings {
    fn read(path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Absent,
            Err(_) => Self::Other,
        }
    }

    fn parse(text: &str) -> Self {
        let settings: Option<serde_json::Value> = serde_json::from_str(text).ok();
        let is_on = settings.is_some_and(|all| all["live-restore"] == true);
        if is_on { Self::On } else { Self::Other }
    }
}

/// What is done about live-restore, with which dynos go on while the engine is restarted or upgraded.
#[derive(Debug, PartialEq, Eq)]
enum LiveRestore {
    /// It is on.
    On,
    Write,
    /// The settings turn it on, and the engine has not read them.
    Reload,
    /// It stays off; the reason.
    Leave(&'static str),
}

fn decide(settings: Settings, engine: Option<&EngineInfo>) -> LiveRestore {
    match (engine, settings) {
        (None, _) => LiveRestore::Leave("Docker Engine does not answer"),
        (Some(info), _) if info.live_restore => LiveRestore::On,
        (Some(info), _) if info.swarm => {
            LiveRestore::Leave("Docker Engine is a node of a swarm, which does not go with it")
        }
        (Some(_), Settings::Absent) => LiveRestore::Write,
        (Some(_), Settings::On) => LiveRestore::Reload,
        (Some(_), Settings::Other) => {
            LiveRestore::Leave("/etc/docker/daemon.json is there already, and does not turn it on")
        }
    }
}

/// Turns live-restore on where that harms nobody; the text says why not otherwise.
pub(super) async fn live_restore(engine: Option<&EngineInfo>) -> Result<Option<String>> {
    let path = Path::new(CONFIGURATION);
    match decide(Settings::read(path), engine) {
        LiveRestore::On => return Ok(None),
        LiveRestore::Write => {
            write(path, "{\n  \"live-restore\": true\n}\n")?;
        }
        LiveRestore::Reload => {}
        LiveRestore::Leave(reason) => {
            return Ok(Some(format!(
                "live-restore stays off, so that a restart of Docker Engine stops dynos: {reason}"
            )));
        }
    }
    // The signal itself: `systemctl reload` runs a program for it that a small server may not have.
    let _ = Command::new("systemctl")
        .args(["kill", "--kill-who=main", "--signal=HUP", "docker.service"])
        .stderr(Stdio::null())
        .status();
    let began = Instant::now();
    while began.elapsed() < RELOAD {
        if info().await.is_some_and(|info| info.live_restore) {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Some(format!(
        "live-restore is on from Docker Engine's next start, by {CONFIGURATION}; until then its restart stops dynos"
    )))
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
        let decided = |settings, engine: EngineInfo| decide(settings, Some(&engine));
        assert_eq!(
            decided(Settings::Absent, engine(false, false)),
            LiveRestore::Write
        );
        assert!(matches!(
            decided(Settings::Other, engine(false, false)),
            LiveRestore::Leave(reason) if reason.contains("daemon.json")
        ));
        assert!(matches!(
            decided(Settings::Absent, engine(false, true)),
            LiveRestore::Leave(reason) if reason.contains("swarm")
        ));
        assert!(
            matches!(decide(Settings::Absent, None), LiveRestore::Leave(_)),
            "a stopped engine may be a swarm's node"
        );
        assert_eq!(
            decided(Settings::Absent, engine(true, false)),
            LiveRestore::On,
            "a flag of its unit set it: both would keep it from starting"
        );
    }

    #[test]
    fn settings_that_turn_it_on_only_have_to_be_read() {
        let settings = |text: &str| Settings::parse(text);
        assert_eq!(
            decide(
                settings("{ \"live-restore\": true }"),
                Some(&engine(false, false))
            ),
            LiveRestore::Reload
        );
        for other in ["{}", "{ \"live-restore\": false }", "", "no json"] {
            assert_eq!(settings(other), Settings::Other, "{other:?}");
        }
    }
}
