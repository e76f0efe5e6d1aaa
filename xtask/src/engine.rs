//! Docker Engine: used if one answers, started if none does.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::place::Place;
use crate::process;
use crate::step::step;

fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock")
        .into()
}

/// Whether an engine answers.
pub fn answers() -> bool {
    ping(&socket()).unwrap_or(false)
}

fn ping(socket: &Path) -> Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

fn pid_file(place: &Place) -> PathBuf {
    place.data.join("engine/dockerd.pid")
}

/// Starts an engine unless one answers.
pub fn ensure(place: &Place) -> Result<()> {
    if answers() {
        return Ok(());
    }
    step("Starting Docker Engine", |line| {
        if Path::new("/run/systemd/system").exists() {
            line.note("systemctl start docker");
            process::quiet("systemctl", &["start", "docker"])?;
        } else {
            start(place)?;
        }
        process::wait_for(Duration::from_secs(60), "Docker Engine to answer", || {
            Ok(answers())
        })
        .with_context(|| format!("see {}", place.data.join("engine/dockerd.log").display()))
    })
}

fn exec_root(place: &Place) -> PathBuf {
    let name = place.data.file_name().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("/run/{name}-engine"))
}

/// Without an init system the engine is ours: its own data root, ended by `down`.
fn start(place: &Place) -> Result<()> {
    let root = place.data.join("engine");
    std::fs::create_dir_all(&root)?;
    let exec_root = exec_root(place);
    let mut command = Command::new("dockerd");
    command
        .arg("--data-root")
        .arg(root.join("data"))
        .arg("--exec-root")
        .arg(exec_root)
        .arg("--pidfile")
        .arg(pid_file(place))
        .arg("--host")
        .arg(format!("unix://{}", socket().display()))
        .args(["--live-restore", "--userland-proxy=false"]);
    process::daemon(&mut command, &root.join("dockerd.log"))?;
    Ok(())
}

/// Ends the engine if it is ours. Containers must be gone, for with live-restore they would stay.
pub fn stop(place: &Place) -> Result<()> {
    let pid_file = pid_file(place);
    if let Some(pid) = process::running(&pid_file, &["--pidfile", &pid_file.to_string_lossy()]) {
        step("Stopping Docker Engine", |_| {
            process::end(pid, Duration::from_secs(60))
        })?;
    }
    Ok(())
}

/// Removes what the engine that is ours left in the file system, mounts included: one that was killed leaves some.
pub fn remove(place: &Place) -> Result<()> {
    let (data, exec) = (place.data.join("engine"), exec_root(place));
    for point in mounts_below(&[&data, &exec])? {
        process::quiet("umount", &["--lazy", &point])?;
    }
    match std::fs::remove_dir_all(&exec) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", exec.display()))
        }
        _ => Ok(()),
    }
}

/// What is mounted below these folders; what lies deepest comes first.
pub fn mounts_below(folders: &[&Path]) -> Result<Vec<String>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<String> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| {
            folders
                .iter()
                .any(|folder| Path::new(point).starts_with(folder))
        })
        .map(str::to_owned)
        .collect();
    // What was mounted last lies deepest.
    points.reverse();
    Ok(points)
}
