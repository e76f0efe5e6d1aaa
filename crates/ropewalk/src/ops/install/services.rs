//! What systemd is told: which units run, now and from boot on, and which have to start anew.
//!
//! A unit that already runs what is installed is left alone. Listening sockets stay open whatever is restarted.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};

use super::{BINARY, UNITS, loud};

pub(super) const HTTP: &str = "ropewalk-http.socket";
pub(super) const HTTPS: &str = "ropewalk-https.socket";
pub(super) const QUIC: &str = "ropewalk-quic.socket";
pub(super) const SERVICES: [&str; 2] = ["ropewalk-server.service", ROUTER];
const ROUTER: &str = "ropewalk-router.service";

/// Has everything run that the units say, by the units and the program as they are now.
pub(super) fn run(sockets: &[&str]) -> Result<()> {
    loud(&mut systemctl("daemon-reload"))?;
    loud(
        systemctl("enable")
            .arg("--quiet")
            .args(sockets)
            .args(SERVICES),
    )?;
    let mut stale = Vec::new();
    for service in SERVICES {
        match staleness(service)? {
            Staleness::Current => {}
            // Its arguments are the same, so the new one can take over from it.
            Staleness::Program if service == ROUTER && reload(service)? => {}
            Staleness::Program | Staleness::Unit => stale.push(service),
        }
    }
    if !stale.is_empty() {
        // First, for systemd opens no socket while the service behind it runs. The router asks for its sockets.
        loud(systemctl("restart").args(stale))?;
    }
    loud(systemctl("start").args(sockets).args(SERVICES))
}

/// Ends a socket that an earlier installation had.
pub(super) fn remove(socket: &str) -> Result<()> {
    let unit = Path::new(UNITS).join(socket);
    if !unit.exists() {
        return Ok(());
    }
    // The router no longer asks for it, and goes on: `disable` has the units read anew before it stops one.
    loud(systemctl("disable").args(["--quiet", "--now", socket]))?;
    std::fs::remove_file(&unit).with_context(|| format!("{} could not be removed", unit.display()))
}

/// That nothing else listens where the sockets are to be, unless they already are there.
///
/// # Errors
/// When the port is taken.
pub(super) fn check_port(socket: &str, port: u16) -> Result<()> {
    check(socket, port, "-ltnp", || {
        std::net::TcpListener::bind(("0.0.0.0", port)).map(drop)
    })
}

/// The same of UDP.
///
/// # Errors
/// When the port is taken.
pub(super) fn check_udp_port(socket: &str, port: u16) -> Result<()> {
    check(socket, port, "-lunp", || {
        std::net::UdpSocket::bind(("0.0.0.0", port)).map(drop)
    })
}

fn check(
    socket: &str,
    port: u16,
    listening: &str,
    bind: impl FnOnce() -> std::io::Result<()>,
) -> Result<()> {
    let ours = systemctl("is-active").args(["--quiet", socket]).status();
    if ours.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    match bind() {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "port {port} is taken by another program: `ss {listening} sport = :{port}` names it; stop it, then try again"
        ),
        _ => Ok(()),
    }
}

fn systemctl(verb: &str) -> Command {
    let mut command = Command::new("systemctl");
    command.arg(verb);
    command
}

/// `false` when the service does not do it, or fails at it: it goes on as it was.
fn reload(service: &str) -> Result<bool> {
    let status = systemctl("reload")
        .arg(service)
        .status()
        .context("systemctl could not be run")?;
    Ok(status.success())
}

/// What of a service has been replaced since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staleness {
    /// Nothing, or it does not run.
    Current,
    Program,
    /// And perhaps the program too.
    Unit,
}

fn staleness(service: &str) -> Result<Staleness> {
    let output = systemctl("show")
        .args([
            "--property=ActiveState,ExecMainStartTimestampMonotonic",
            service,
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("systemctl could not be run")?;
    let Some(began) = began(&String::from_utf8_lossy(&output.stdout)) else {
        return Ok(Staleness::Current);
    };
    // Both clocks now: what was set since does not matter.
    let age = duration(ClockId::Monotonic).saturating_sub(began);
    let began = duration(ClockId::Realtime).saturating_sub(age);
    let replaced = |file: &Path| {
        let meta = file
            .metadata()
            .with_context(|| format!("{} could not be looked at", file.display()))?;
        anyhow::Ok(changed(&meta) >= began)
    };
    if replaced(&Path::new(UNITS).join(service))? {
        Ok(Staleness::Unit)
    } else if replaced(Path::new(BINARY))? {
        Ok(Staleness::Program)
    } else {
        Ok(Staleness::Current)
    }
}

/// When the main process began, since boot; `None` when the service is not up.
fn began(properties: &str) -> Option<Duration> {
    let of: BTreeMap<&str, &str> = properties
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    if !matches!(
        *of.get("ActiveState")?,
        "active" | "activating" | "reloading"
    ) {
        return None;
    }
    let micros = of.get("ExecMainStartTimestampMonotonic")?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// By the change of the inode: a rename is one, and a copy that keeps the source's time is too.
fn changed(meta: &std::fs::Metadata) -> Duration {
    let seconds = u64::try_from(meta.ctime()).unwrap_or_default();
    let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
    Duration::new(seconds, nanos)
}

fn duration(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_that_is_up_can_be_stale() {
        let text = |state: &str, began: &str| {
            format!("ExecMainStartTimestampMonotonic={began}\nActiveState={state}\n")
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(super::began(&text("active", "1000000")), second);
        assert_eq!(super::began(&text("activating", "1000000")), second);
        for none in [
            text("inactive", "1000000"),
            text("failed", "1000000"),
            text("activating", "0"),
            String::new(),
        ] {
            assert_eq!(super::began(&none), None, "{none:?}");
        }
    }

    #[test]
    fn a_file_that_was_just_written_was_changed_now() -> Result<()> {
        let before = duration(ClockId::Realtime);
        let file = tempfile::NamedTempFile::new()?;
        let age = duration(ClockId::Realtime).saturating_sub(changed(&file.as_file().metadata()?));
        assert!(age < before, "not since 1970");
        assert!(age < Duration::from_secs(60), "{age:?}");
        Ok(())
    }
}
