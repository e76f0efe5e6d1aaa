//! The form that dynos run: a read-only squashfs image, packed by mksquashfs.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use crate::command::run_nicely;
use crate::staging::Staged;
use crate::{DYNO_ID, Digest, Error, FIXED_TIME, Result};

/// A slug above this is refused, in bytes of its images.
pub const HARD_LIMIT: u64 = 500 * 1000 * 1000;
/// A slug above this is taken with a warning, in bytes of its images.
pub const WARNING_LIMIT: u64 = 300 * 1000 * 1000;

/// Longest wait for packing; a 400 MB tree takes two seconds.
const PACK_LIMIT: Duration = Duration::from_secs(600);

/// What mksquashfs may hold in memory; by default it takes a quarter of the host's. 45,000 files pack as fast with it.
const MEMORY: &str = "256M";

/// The name of an image's file among the others.
pub fn file(image: &Digest) -> String {
    format!("{}.squashfs", image.hex())
}

/// The image that [`file`] names so.
pub fn of_file(name: &str) -> Option<Digest> {
    name.strip_suffix(".squashfs").and_then(Digest::from_hex)
}

/// A packed tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// SHA-256 of the image file.
    pub digest: Digest,
    /// Bytes of the image file.
    pub size: u64,
}

/// Packs a tree that [`crate::survey`] made fit for it into `out`, which appears whole or not at all. The same tree gives the same bytes: owner, times and order are fixed, extended attributes and hard links are
/// not kept.
///
/// Nobody may write to the tree meanwhile.
pub async fn pack(root: &Path, out: &Path) -> Result<Image> {
    let root = tokio::fs::canonicalize(root)
        .await
        .map_err(Error::io("open", root))?;
    let staged = Staged::beside(&std::path::absolute(out).map_err(Error::io("open", out))?);
    run_nicely("mksquashfs", arguments(&root, staged.path()), PACK_LIMIT).await?;
    tokio::task::spawn_blocking(move || {
        // The disk takes it while it is read once more.
        let (digest, written) = std::thread::scope(|scope| {
            let written = scope.spawn(|| staged.write_through());
            (Digest::of_file(staged.path()), written.join())
        });
        let digest = digest?;
        // A thread that panicked wrote nothing: `publish` does it again.
        written.unwrap_or(Ok(()))?;
        let size = std::fs::metadata(staged.path())
            .map_err(Error::io("look at", staged.path()))?
            .len();
        staged.publish()?;
        Ok(Image { digest, size })
    })
    .await?
}

fn arguments(root: &Path, out: &Path) -> Vec<OsString> {
    let owner = DYNO_ID.to_string();
    let time = FIXED_TIME.to_string();
    let mut arguments = vec![root.as_os_str().to_owned(), out.as_os_str().to_owned()];
    arguments.extend(
        [
            // Order of blocks and of processors' results is fixed by default.
            "-noappend",
            "-comp",
            "lz4",
            "-force-uid",
            &owner,
            "-force-gid",
            &owner,
            "-all-time",
            &time,
            "-mkfs-time",
            &time,
            // The build's working directory may be closed to others; `/app` is not.
            "-root-mode",
            "0755",
            "-no-xattrs",
            // Whether two names are one file depends on how a cache was restored; content is stored once anyway.
            "-no-hardlinks",
            "-no-exports",
            "-no-recovery",
            "-exit-on-error",
            "-no-progress",
            "-quiet",
            "-mem",
            MEMORY,
        ]
        .map(|argument| OsStr::new(argument).to_owned()),
    );
    arguments
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tree::{Limits, prepare};

    /// 300 files; made in the order that `step` gives.
    fn make(root: &Path, step: usize) {
        for number in (0..300).map(|n| (n * step) % 300) {
            let folder = root.join(format!("d{}", number % 7));
            fs::create_dir_all(&folder).unwrap();
            let content = format!("{number} ").repeat(number * 37 % 5000);
            fs::write(folder.join(format!("f{number}")), content).unwrap();
        }
    }

    async fn prepare_and_pack(root: &Path, out: &Path) -> Image {
        let facts = prepare(root, Limits::SLUG, |_| Ok(())).unwrap();
        assert_eq!(facts.files, 300);
        pack(root, out).await.unwrap()
    }

    #[tokio::test]
    async fn the_same_tree_gives_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let mut images = Vec::new();
        for (name, step) in [("one", 1), ("two", 7)] {
            let root = folder.path().join(name);
            make(&root, step);
            let out = folder.path().join(format!("{name}.squashfs"));
            images.push(prepare_and_pack(&root, &out).await);
        }
        let linked = folder.path().join("two/d0/f0");
        fs::remove_file(&linked).unwrap();
        fs::hard_link(folder.path().join("one/d0/f0"), &linked).unwrap();
        let out = folder.path().join("three.squashfs");
        images.push(prepare_and_pack(&folder.path().join("two"), &out).await);

        assert_eq!(images[0], images[1]);
        assert_eq!(images[0], images[2]);
        assert_eq!(Digest::of_file(&out).unwrap(), images[0].digest);
        fs::write(folder.path().join("one/d0/f0"), "other").unwrap();
        let other = prepare_and_pack(&folder.path().join("one"), &out).await;
        assert_ne!(other.digest, images[0].digest);
    }

    #[test]
    fn packing_is_bounded_in_memory() {
        let arguments = arguments(Path::new("/tree"), Path::new("/out"));
        assert!(arguments.windows(2).any(|pair| pair == ["-mem", MEMORY]));
    }

    #[tokio::test]
    async fn a_failure_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let none = folder.path().join("none");
        let error = pack(&none, &out).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot open"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
