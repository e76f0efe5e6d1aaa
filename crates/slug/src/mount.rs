//! The verbs of mounting, each once: an image read-only, an overlay over it, and away again.
//!
//! What is to be mounted where is decided elsewhere.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::command::run;
use crate::mountinfo::{self, Mount};
use crate::{Error, Result};

/// Longest wait for one mount or unmount; they take milliseconds.
const MOUNT_LIMIT: Duration = Duration::from_secs(30);
/// How often one mount point is unmounted when several mounts lie on each other.
const LAYERS: usize = 16;

/// Mounts a squashfs image read-only, without devices and setuid, on a loop device that goes with the mount.
pub(crate) async fn image(image: &Path, point: &Path) -> Result<()> {
    let mut arguments: Vec<OsString> = ["-t", "squashfs", "-o", "loop,ro,nosuid,nodev", "--"]
        .map(Into::into)
        .into();
    arguments.push(image.into());
    arguments.push(point.into());
    run("mount", arguments, MOUNT_LIMIT).await
}

/// Mounts `lower` with a writable `upper` over it. No path may hold a comma, colon, backslash or control character.
///
/// `volatile`: nothing here outlives a crash of the host, so nobody waits for the disk. `index=off`: the upper folder
/// is used once only.
pub(crate) async fn overlay(lower: &Path, upper: &Path, work: &Path, point: &Path) -> Result<()> {
    let options = format!(
        "nosuid,nodev,volatile,index=off,lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let mut arguments: Vec<OsString> = ["-t", "overlay", "-o"].map(Into::into).into();
    arguments.push(options.into());
    arguments.extend(["--", "overlay"].map(OsString::from));
    arguments.push(point.into());
    run("mount", arguments, MOUNT_LIMIT).await
}

/// Unmounts everything at this point; nothing being there is success. What is in use disappears from the tree at once
/// and is freed with its last user.
pub(crate) async fn unmount(point: &Path) -> Result<()> {
    for _ in 0..LAYERS {
        if mounted(point)?.is_none() {
            return Ok(());
        }
        let plain = run("umount", [point.as_os_str()], MOUNT_LIMIT).await;
        if plain.is_err() && mounted(point)?.is_some() {
            let lazy = [OsString::from("--lazy"), point.into()];
            run("umount", lazy, MOUNT_LIMIT).await?;
        }
    }
    let source = io::Error::other("too many mounts lie on each other");
    Err(Error::io("unmount", point)(source))
}

/// The topmost mount at exactly this point.
pub(crate) fn mounted(point: &Path) -> Result<Option<Mount>> {
    let mut mounts = mountinfo::below(point)?;
    mounts.retain(|mount| mount.point == point);
    Ok(mounts.pop())
}
