//! One writable view of a folder, or of several that lie on each other, for as long as one piece of work lasts.
//!
//! ```text
//! <folder>/upper    what is written, and whatever was put there before
//! <folder>/work     the kernel's
//! <folder>/tree     the lower folder and `upper` together
//! ```
//! Unlike a dyno's view it is nobody's to adopt: it goes with the value that stands for it, and what a process that
//! was killed left mounted is unmounted by [`unmount_below`] at the next start.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::{Error, Result, mount, mountinfo};

/// A view that is mounted. Dropping it takes it out of the tree at once; [`View::close`] waits until it is gone.
#[derive(Debug)]
pub struct View {
    tree: PathBuf,
}

impl View {
    /// Makes the folders that are not there, and mounts. `lower`, the lowest first, is only read; nobody may change it
    /// meanwhile. No path may hold a comma, colon, backslash or control character. A folder serves once.
    pub async fn open(lower: &[&Path], folder: &Path) -> Result<Self> {
        // The kernel lists mounts by their real path.
        let folder = fs::canonicalize(folder).map_err(Error::io("open", folder))?;
        let [upper, work, tree] = ["upper", "work", "tree"].map(|name| folder.join(name));
        for part in [&upper, &work, &tree] {
            match fs::create_dir(part) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::io("make", part)(error));
                }
                _ => {}
            }
        }
        let view = Self { tree: tree.clone() };
        mount::overlay(lower, &upper, &work, &tree).await?;
        Ok(view)
    }

    /// Where all of it is seen.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Unmounts it; what was written stays in `upper`.
    pub async fn close(self) -> Result<()> {
        mount::unmount(&self.tree).await
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // Not being mounted is what is wanted; any other failure the next start sees to.
        let _ = rustix::mount::unmount(&self.tree, UnmountFlags::DETACH);
    }
}

/// Unmounts all that is mounted below a folder, the last mounted first. Returns how many.
pub async fn unmount_below(folder: &Path) -> Result<usize> {
    let folder = fs::canonicalize(folder).map_err(Error::io("open", folder))?;
    let mounts = mountinfo::below(&folder)?;
    for mount in mounts.iter().rev() {
        mount::unmount(&mount.point).await?;
    }
    Ok(mounts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> bool {
        rustix::process::getuid().is_root()
    }

    fn lower(dir: &Path) -> PathBuf {
        let lower = dir.join("lower");
        fs::create_dir_all(lower.join("app/lib")).unwrap();
        fs::write(lower.join("app/lib/a"), "one").unwrap();
        fs::write(lower.join("app/b"), "two").unwrap();
        lower
    }

    #[tokio::test]
    async fn a_view_is_written_to_and_what_lies_below_stays() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let lower = lower(dir.path());
        let folder = dir.path().join("build");
        fs::create_dir_all(folder.join("upper/cache")).unwrap();
        let view = View::open(&[&lower], &folder).await.unwrap();
        let tree = folder.join("tree");
        assert!(tree.join("cache").is_dir());
        fs::write(tree.join("app/lib/a"), "three").unwrap();
        fs::remove_file(tree.join("app/b")).unwrap();
        fs::write(tree.join("cache/kept"), "four").unwrap();
        view.close().await.unwrap();

        assert_eq!(fs::read_dir(&tree).unwrap().count(), 0);
        let written = fs::read_to_string(folder.join("upper/app/lib/a")).unwrap();
        assert_eq!(written, "three");
        assert!(folder.join("upper/cache/kept").is_file());
        assert_eq!(fs::read_to_string(lower.join("app/lib/a")).unwrap(), "one");
        assert!(lower.join("app/b").is_file());
    }

    #[tokio::test]
    async fn a_view_that_is_dropped_or_was_forgotten_is_unmounted() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let lower = lower(dir.path());
        let builds = dir.path().join("builds");
        for name in ["one", "two", "dropped"] {
            fs::create_dir_all(builds.join(name)).unwrap();
            let view = View::open(&[&lower], &builds.join(name)).await.unwrap();
            match name {
                "dropped" => drop(view),
                // As after `kill -9`.
                _ => std::mem::forget(view),
            }
        }
        assert_eq!(unmount_below(&builds).await.unwrap(), 2);
        assert_eq!(unmount_below(&builds).await.unwrap(), 0);
        assert_eq!(fs::read_dir(builds.join("one/tree")).unwrap().count(), 0);
    }
}
