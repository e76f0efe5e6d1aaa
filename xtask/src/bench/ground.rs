//! What a bench with a platform of its own stands on: the binary, an engine, a data directory, and who removes it all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::clean_up::Watch;
use crate::place::Place;
use crate::{engine, packages, up};

pub(super) struct Ground {
    pub(super) place: Place,
    pub(super) binary: PathBuf,
    /// Empty, and gone afterwards.
    pub(super) data: PathBuf,
    /// Value of the label of everything that the bench makes itself.
    pub(super) id: String,
}

/// Runs `work` as root, with its data directory below `dir`, and removes everything however it ends.
pub(super) fn on_ground(dir: &Path, work: impl FnOnce(&Ground) -> Result<()>) -> Result<()> {
    let place = Place::find()?;
    let chosen = std::env::var_os("ROPEWALK_TEST_BINARY").map(PathBuf::from);
    if !rustix::process::geteuid().is_root() {
        // So that what is built belongs to whoever asked.
        if chosen.is_none() {
            up::build(&place)?;
        }
        return up::as_root_without_build();
    }
    packages::ensure(false)?;
    packages::ensure_for_bench()?;
    let binary = match chosen {
        Some(binary) => binary
            .canonicalize()
            .with_context(|| format!("{} is not there", binary.display()))?,
        None => {
            up::build(&place)?;
            place.binary()
        }
    };
    if !engine::answers() {
        std::fs::create_dir_all(&place.data)?;
        engine::ensure(&place)?;
    }
    let id = hex::encode(rand::random::<[u8; 4]>());
    let dir = dir
        .canonicalize()
        .with_context(|| format!("{} is not there", dir.display()))?;
    let data = dir.join(format!("ropewalk-bench-{id}"));
    std::fs::create_dir(&data)?;
    let watch = Watch::over(&data, &id, &binary)?;
    let ground = Ground {
        place,
        binary,
        data,
        id,
    };
    let outcome = work(&ground);
    outcome.and(watch.end())
}
