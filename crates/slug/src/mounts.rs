//! Slugs and dynos as mounts: each image of a slug once, read-only, and one writable overlay of them per dyno.
//!
//! The kernel's list of mounts is the only record: every verb looks there first, so a restarted server adopts
//! what is mounted, and a verb that was interrupted is simply called again. After a reboot nothing is mounted and
//! the verbs make it anew; what a dyno wrote before is gone then, as its disk is promised to be short-lived.
//!
//! ```text
//! <root>/slug/<hex>                        image, squashfs on a loop device that frees itself
//! <root>/dyno/<uuid>/{upper,work,merged}   overlay of the slug's images and what the dyno wrote
//! <root>/gone/<name>                       unmounted, being deleted
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use ropewalk_model::DynoId;
use tokio::sync::Mutex;

use crate::mount::{self, mounted};
use crate::mountinfo;
use crate::{DYNO_ID, Digest, Error, Result, remove_tree};

/// The mounts below one folder. Clones share their lock; two `Mounts` on one folder must not be in use at once.
#[derive(Debug, Clone)]
pub struct Mounts {
    root: PathBuf,
    /// Held while a mount is looked up and changed, so that no two calls make the same one.
    turn: Arc<Mutex<()>>,
    /// How often each image is borrowed.
    borrowed: Arc<std::sync::Mutex<HashMap<Digest, usize>>>,
}

/// An image that stays mounted for as long as this lives.
#[derive(Debug)]
pub struct Borrowed {
    path: PathBuf,
    digest: Digest,
    borrowed: Arc<std::sync::Mutex<HashMap<Digest, usize>>>,
}

impl Borrowed {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut borrowed = self.borrowed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = borrowed.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                borrowed.remove(&self.digest);
            }
        }
    }
}

/// What is mounted below the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    pub images: BTreeSet<Digest>,
    /// Each dyno's images, the lowest first; none where the overlay lies over something that is no image of ours.
    pub overlays: BTreeMap<DynoId, Vec<Digest>>,
}

/// What there is a folder of, mounted or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Present {
    pub images: BTreeSet<Digest>,
    pub overlays: BTreeSet<DynoId>,
}

/// How many were removed by a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    pub images: usize,
    pub overlays: usize,
}

impl Mounts {
    /// Makes the folders. The path may hold no comma, colon, backslash or control character, because mount
    /// options could not tell them apart. Blocking, but not for long.
    pub fn open(root: &Path) -> Result<Self> {
        for folder in ["slug", "dyno", "gone"] {
            fs::create_dir_all(root.join(folder)).map_err(Error::io("create", root))?;
        }
        // The kernel lists mounts by their real path.
        let root = fs::canonicalize(root).map_err(Error::io("open", root))?;
        let plain = root.to_str().is_some_and(|text| {
            !text.contains([',', ':', '\\']) && !text.contains(char::is_control)
        });
        if !plain {
            return Err(Error::MountRoot { path: root });
        }
        Ok(Self {
            root,
            turn: Arc::default(),
            borrowed: Arc::default(),
        })
    }

    /// Mounts an image, unless it is mounted, and tells where: read-only, without devices and setuid. The loop device
    /// goes with the mount.
    pub async fn image(&self, digest: &Digest, image: &Path) -> Result<PathBuf> {
        let _turn = self.turn.lock().await;
        let point = self.image_path(digest);
        if mounted(&point)?.is_some() {
            return Ok(point);
        }
        create_folder(&point)?;
        mount::image(image, &point).await?;
        Ok(point)
    }

    /// As [`Mounts::image`], for somebody who is no dyno.
    pub async fn borrow(&self, digest: &Digest, image: &Path) -> Result<Borrowed> {
        let borrowed = {
            let mut counts = self.borrowed();
            *counts.entry(*digest).or_default() += 1;
            Borrowed {
                path: self.image_path(digest),
                digest: *digest,
                borrowed: Arc::clone(&self.borrowed),
            }
        };
        self.image(digest, image).await?;
        Ok(borrowed)
    }

    fn borrowed(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, usize>> {
        self.borrowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mounts a dyno's writable view of a slug's mounted images, the lowest first, unless it is mounted, and tells where.
    /// Its top belongs to the dyno's user. Fails with [`Error::OtherSlug`] when this dyno has a view of others.
    pub async fn overlay(&self, dyno: DynoId, images: &[Digest]) -> Result<PathBuf> {
        let _turn = self.turn.lock().await;
        let folder = self.dyno_path(dyno);
        let merged = folder.join("merged");
        let lower: Vec<PathBuf> = images.iter().map(|image| self.image_path(image)).collect();
        let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
        let mounts = mountinfo::below(&self.root)?;
        if let Some(mount) = mounts.iter().rfind(|mount| mount.point == merged) {
            return match mount.option("lowerdir") == Some(&mount::lowerdir(&lower)) {
                true => Ok(merged),
                false => Err(Error::OtherSlug { path: merged }),
            };
        }
        let is_mounted = |image: &&Path| mounts.iter().any(|mount| mount.point == **image);
        if let Some(image) = lower.iter().find(|image| !is_mounted(image)) {
            // An overlay over the empty mount point would start an app without its files.
            let source = io::Error::other("the image is not mounted");
            return Err(Error::io("use", image)(source));
        }
        // Left from before a reboot, or from a mount that failed.
        self.delete(&folder).await?;
        for part in ["upper", "work", "merged"] {
            create_folder(&folder.join(part))?;
        }
        let upper = folder.join("upper");
        chown(&upper, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("own", &upper))?;
        mount::overlay(&lower, &upper, &folder.join("work"), &merged).await?;
        Ok(merged)
    }

    /// Unmounts a dyno's view and deletes what it wrote; none being there is success. A view in use disappears
    /// from the tree at once and is freed with its last user.
    pub async fn remove_overlay(&self, dyno: DynoId) -> Result<()> {
        let folder = self.dyno_path(dyno);
        let gone = {
            let _turn = self.turn.lock().await;
            mount::unmount(&folder.join("merged")).await?;
            self.set_aside(&folder)?
        };
        // Deleting may take long and needs no turn.
        match gone {
            Some(gone) => remove_tree(&gone).await,
            None => Ok(()),
        }
    }

    /// Unmounts an image; none being there is success. Views of it keep working and keep its loop device. One that is
    /// borrowed stays, until this is called again.
    pub async fn remove_image(&self, digest: &Digest) -> Result<()> {
        let _turn = self.turn.lock().await;
        if self.borrowed().contains_key(digest) {
            return Ok(());
        }
        let point = self.image_path(digest);
        mount::unmount(&point).await?;
        match fs::remove_dir(&point) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", point)(error))
            }
            _ => Ok(()),
        }
    }

    /// What is mounted, by the kernel's word.
    pub async fn observed(&self) -> Result<Observed> {
        let mut observed = Observed::default();
        for mount in mountinfo::below(&self.root)? {
            if let Some(digest) = self.image_of(&mount.point) {
                observed.images.insert(digest);
            } else if let Some(dyno) = self.dyno_of(&mount.point) {
                let lower = mount
                    .option("lowerdir")
                    .unwrap_or_default()
                    .split(':')
                    .rev();
                let images = lower.map(|lower| self.image_of(Path::new(lower)));
                let images: Option<Vec<Digest>> = images.collect();
                observed.overlays.insert(dyno, images.unwrap_or_default());
            }
        }
        Ok(observed)
    }

    /// What there is, mounted or only left as a folder.
    pub fn present(&self) -> Result<Present> {
        Ok(Present {
            images: self.names("slug", Digest::from_hex)?.into_iter().collect(),
            overlays: self
                .names("dyno", |name| name.parse().ok())?
                .into_iter()
                .collect(),
        })
    }

    /// Removes every view and image that is not to be kept, mounted or only left as a folder, and what an earlier
    /// removal did not finish. Goes on after a failure and returns the first one. Nothing may be mounted meanwhile.
    pub async fn sweep(
        &self,
        keep_dynos: &BTreeSet<DynoId>,
        keep_images: &BTreeSet<Digest>,
    ) -> Result<Swept> {
        let present = self.present()?;
        let mut first = None;
        let mut swept = Swept::default();
        for dyno in present.overlays.difference(keep_dynos) {
            match self.remove_overlay(*dyno).await {
                Ok(()) => swept.overlays += 1,
                Err(error) => first = first.or(Some(error)),
            }
        }
        for digest in present.images.difference(keep_images) {
            match self.remove_image(digest).await {
                Ok(()) => swept.images += 1,
                Err(error) => first = first.or(Some(error)),
            }
        }
        let finished = self.finish_removals().await;
        first.or(finished.err()).map_or(Ok(swept), Err)
    }

    /// Deletes what an earlier removal did not finish. Goes on after a failure and returns the first one.
    pub async fn finish_removals(&self) -> Result<()> {
        let mut first = None;
        for name in self.names("gone", |name| Some(name.to_owned()))? {
            if let Err(error) = remove_tree(&self.root.join("gone").join(name)).await {
                first = first.or(Some(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Where an image is mounted, or would be.
    pub fn image_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("slug").join(digest.hex())
    }

    /// The folder of a dyno's `upper`, `work` and `merged`.
    /// Where it is kept what a dyno wrote.
    pub fn written_path(&self, dyno: DynoId) -> PathBuf {
        self.dyno_path(dyno).join("upper")
    }

    /// The folder of all mounts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn dyno_path(&self, dyno: DynoId) -> PathBuf {
        self.root.join("dyno").join(dyno.to_string())
    }

    fn image_of(&self, point: &Path) -> Option<Digest> {
        let name = point.strip_prefix(self.root.join("slug")).ok()?;
        Digest::from_hex(name.to_str()?)
    }

    fn dyno_of(&self, point: &Path) -> Option<DynoId> {
        let name = point.strip_prefix(self.root.join("dyno")).ok()?;
        name.to_str()?.strip_suffix("/merged")?.parse().ok()
    }

    async fn delete(&self, folder: &Path) -> Result<()> {
        match self.set_aside(folder)? {
            Some(gone) => remove_tree(&gone).await,
            None => Ok(()),
        }
    }

    /// Moves a folder out of the way under a name of its own; `None` when it is not there.
    fn set_aside(&self, folder: &Path) -> Result<Option<PathBuf>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let gone = self.root.join("gone").join(name);
        match fs::rename(folder, &gone) {
            Ok(()) => Ok(Some(gone)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("move", folder)(error)),
        }
    }

    fn names<T>(&self, folder: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let folder = self.root.join(folder);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let entry = entry.map_err(Error::io("list", &folder))?;
            names.extend(entry.file_name().to_str().and_then(&read));
        }
        Ok(names)
    }
}

/// Readable by the dyno's user, whatever this process's mask is.
fn create_folder(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    made.map_err(Error::io("create", path))?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(path, open).map_err(Error::io("change the mode of", path))
}
