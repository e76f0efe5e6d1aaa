//! Free space, looked at before and during builds.

use std::path::Path;

use super::failure::Failure;
use crate::{Error, Result};

/// Bytes that may still be written to the file system that holds `path`.
pub(crate) fn free(path: &Path) -> Result<u64> {
    let stat =
        rustix::fs::statvfs(path).map_err(|errno| Error::io("look at", path)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Fails below the floor.
pub(crate) fn check(path: &Path, floor: u64) -> Result<(), Failure> {
    let free = free(path)?;
    match free < floor {
        true => Err(Failure::OutOfDisk { mib: free >> 20 }),
        false => Ok(()),
    }
}
