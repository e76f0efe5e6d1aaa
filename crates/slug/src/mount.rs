//! The verbs of mounting, each once: an image read-only, an overlay over it, and away again.
//!
//! What is to be mounted where is decided elsewhere.

use std::ffi::{CString, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::command::run;
use crate::mountinfo::{self, Mount};
use crate::{Error, Result};

/// Longest wait for one mount of an image; it takes milliseconds.
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

/// Mounts lower folders, the lowest first, with a writable `upper` over them. No path may hold a comma, colon, backslash
/// or control character.
///
/// `volatile`: nothing here outlives a crash of the host, so nobody waits for the disk. `index=off`: the upper folder
/// is used once only.
pub(crate) async fn overlay(
    lower: &[&Path],
    upper: &Path,
    work: &Path,
    point: &Path,
) -> Result<()> {
    let options = format!(
        "volatile,index=off,lowerdir={},upperdir={},workdir={}",
        lowerdir(lower),
        upper.display(),
        work.display()
    );
    let options = CString::new(options).map_err(|_| Error::MountRoot {
        path: point.to_owned(),
    })?;
    let onto = point.to_owned();
    within(Error::sys("mount", point), move || {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("overlay", onto, "overlay", flags, options.as_c_str())
    })
    .await
}

/// One call of the system that may wait for a disk.
async fn within(
    wrap: impl FnOnce(Errno) -> Error,
    call: impl FnOnce() -> std::result::Result<(), Errno> + Send + 'static,
) -> Result<()> {
    tokio::task::spawn_blocking(call).await?.map_err(wrap)
}

/// Lower folders as the kernel reads and lists them: the topmost first.
pub(crate) fn lowerdir(lower: &[&Path]) -> String {
    let paths: Vec<String> = lower
        .iter()
        .rev()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(":")
}

/// Unmounts everything at this point; nothing being there is success. What is in use disappears from the tree at once
/// and is freed with its last user.
pub(crate) async fn unmount(point: &Path) -> Result<()> {
    for _ in 0..LAYERS {
        if mounted(point)?.is_none() {
            return Ok(());
        }
        let from = point.to_owned();
        let call = move || match rustix::mount::unmount(&from, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) => {
                rustix::mount::unmount(&from, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
            }
            other => other,
        };
        let gone = within(Error::sys("unmount", point), call).await;
        if gone.is_err() && mounted(point)?.is_some() {
            return gone;
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
