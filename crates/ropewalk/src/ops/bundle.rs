//! What the one binary carries: buildpacks and stack descriptions, unpacked into the data directory when asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A tar of `buildpacks/` and `stacks/`, made by `build.rs`.
const BUNDLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bundle.tar"));
/// Names this bundle by its content.
const DIGEST: &str = include_str!(concat!(env!("OUT_DIR"), "/bundle.digest"));

/// The folder that holds `buildpacks/` and `stacks/` of this version. Unpacked once; folders of other versions go.
pub(crate) fn unpacked(data: &Path) -> Result<PathBuf> {
    let parent = data.join("bundle");
    let folder = parent.join(DIGEST);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&parent)?;
    let staged = tempfile::Builder::new()
        .prefix("new-")
        .tempdir_in(&parent)?;
    tar::Archive::new(BUNDLE)
        .unpack(staged.path())
        .context("the bundle could not be unpacked")?;
    // Builds read it as the dyno user.
    std::fs::set_permissions(
        staged.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    match std::fs::rename(staged.path(), &folder) {
        Ok(()) => {
            let _ = staged.keep();
        }
        Err(_) if folder.is_dir() => {}
        Err(error) => return Err(error.into()),
    }
    for entry in std::fs::read_dir(&parent)?.flatten() {
        if entry.path() != folder {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(folder)
}
