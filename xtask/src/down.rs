//! `cargo xtask down`: stops what `up` started; with `--purge` removes every trace of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::place::Place;
use crate::process::{self, loud};
use crate::step::step;
use crate::{engine, up};

pub fn run(purge: bool) -> Result<()> {
    let place = Place::find()?;
    if !rustix::process::geteuid().is_root() {
        return up::as_root_without_build();
    }
    if let Some(pid) = process::running(&place.data.join("run/supervise.pid"), "ropewalk") {
        step("Stopping server and router", |_| {
            process::end(pid, Duration::from_secs(60))
        })?;
    }
    if engine::answers() && place.binary().exists() && place.data.join("instance").exists() {
        let mut command = Command::new(place.binary());
        command.arg("teardown").arg("--data").arg(&place.data);
        if purge {
            command.arg("--purge");
        }
        loud(&mut command).context("dynos, networks and mounts could not be removed")?;
    }
    engine::stop(&place)?;
    if purge {
        step("Removing files", |_| {
            engine::remove(&place)?;
            remove(&place.data)?;
            remove(&place.cache)?;
            remove(
                place
                    .env_file()
                    .parent()
                    .unwrap_or(Path::new("target/ropewalk")),
            )
        })?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", path.display()))
        }
        _ => Ok(()),
    }
}
