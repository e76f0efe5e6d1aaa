//! Free space and free inodes, looked at before and during builds: where builds write, and where the engine does.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;

use super::failure::Failure;
use crate::context::Context;
use crate::{Error, Result};

/// So many inodes must stay free, or one in fifty where that is less.
const INODES: u64 = 50_000;
const INODES_SHARE: u64 = 50;

/// Fails when the disk of the data directory, or the engine's where that is another, has less free than must stay.
pub(crate) async fn check(context: &Context) -> Result<(), Failure> {
    let data = &context.options.data;
    let floor = context.options.limits.disk_floor;
    look(data, floor)?;
    if let Some(other) = engine_folder(context).await {
        look(other, floor)?;
    }
    Ok(())
}

/// Fails when so many more bytes would leave less free on the data directory's disk than must stay.
pub(crate) fn room(context: &Context, bytes: u64) -> Result<(), Failure> {
    let floor = context.options.limits.disk_floor;
    look(&context.options.data, floor.saturating_add(bytes))
}

/// The engine's data directory where it is on another file system of this host. An engine that does not answer is
/// asked again next time.
async fn engine_folder(context: &Context) -> Option<&Path> {
    let known = context.engine_folder.get_or_try_init(async || {
        let root = context.engine.info().await?.data_root;
        let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
        let other = device(&root).is_some_and(|of| Some(of) != device(&context.options.data));
        Ok::<Option<PathBuf>, ropewalk_engine::EngineError>(other.then_some(root))
    });
    known.await.ok()?.as_deref()
}

fn look(path: &Path, floor: u64) -> Result<(), Failure> {
    let stat =
        rustix::fs::statvfs(path).map_err(|errno| Error::io("look at", path)(errno.into()))?;
    judge(&stat, floor)
}

fn judge(stat: &StatVfs, floor: u64) -> Result<(), Failure> {
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < floor {
        return Err(Failure::OutOfDisk { mib: free >> 20 });
    }
    // File systems that make inodes as they need them tell of none.
    if stat.f_files > 0 && stat.f_favail < INODES.min(stat.f_files / INODES_SHARE) {
        return Err(Failure::OutOfInodes {
            left: stat.f_favail,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_and_inodes_have_floors() {
        let stat = |free: u64, inodes: u64, free_inodes: u64| {
            let mut stat = rustix::fs::statvfs("/").unwrap();
            (stat.f_bavail, stat.f_frsize) = (free, 1 << 20);
            (stat.f_files, stat.f_favail) = (inodes, free_inodes);
            stat
        };
        let floor = 100 << 20;
        assert!(judge(&stat(100, 10_000_000, 50_000), floor).is_ok());
        assert!(judge(&stat(100, 0, 0), floor).is_ok(), "btrfs counts none");
        assert!(
            judge(&stat(100, 100_000, 2000), floor).is_ok(),
            "a small disk"
        );
        assert!(matches!(
            judge(&stat(99, 10_000_000, 50_000), floor),
            Err(Failure::OutOfDisk { mib: 99 })
        ));
        for (all, left) in [(10_000_000, 49_999), (100_000, 1999)] {
            assert!(matches!(
                judge(&stat(100, all, left), floor),
                Err(Failure::OutOfInodes { .. })
            ));
        }
    }
}
