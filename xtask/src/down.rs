//! `cargo xtask down`: stops what `up` started; with `--purge` removes every trace of it.
//!
//! No file goes before what uses it: dynos, mounts and the engine that is ours.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::loud;
use crate::step::step;
use crate::{engine, platform, up};

pub fn run(purge: bool) -> Result<()> {
    let place = Place::find()?;
    let has_traces = place.data.join("instance").exists();
    if has_traces && !place.binary().exists() {
        // What ran may be of an older build; what it has made is known by its label to every build.
        up::build(&place)?;
    }
    if !rustix::process::geteuid().is_root() {
        return up::as_root_without_build();
    }
    platform::end(&place.data)?;
    if has_traces {
        tear_down(&place, purge).with_context(|| {
            format!(
                "dynos, networks and mounts could not be removed, so {} stays; try again",
                place.data.display()
            )
        })?;
    }
    engine::stop(&place)?;
    if purge {
        step("Removing files", |_| {
            engine::remove(&place)?;
            if let [point, ..] = engine::mounts_below(&[&place.data])?.as_slice() {
                bail!("{point} is still mounted; no file was removed");
            }
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

/// Dynos outlive an engine that was killed: one is started if none answers.
fn tear_down(place: &Place, purge: bool) -> Result<()> {
    engine::ensure(place)?;
    let mut command = Command::new(place.binary());
    command.arg("teardown").arg("--data").arg(&place.data);
    if purge {
        command.arg("--purge");
    }
    loud(&mut command)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", path.display()))
        }
        _ => Ok(()),
    }
}
