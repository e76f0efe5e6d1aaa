//! Slugs in the form that travels: made from their images when they are first asked for, by whoever asks, and kept
//! among the blobs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ropewalk_registry::{BlobStore, Layer};
use ropewalk_slug::{Borrowed, Digest, Mounts, View, image, travel};
use ropewalk_store::{Slug, Store, Tgz};
use tokio::sync::OwnedMutexGuard;
use tokio::task::spawn_blocking;

pub(super) struct Travels {
    pub(super) store: Store,
    pub(super) blobs: Arc<BlobStore>,
    pub(super) mounts: Mounts,
    pub(super) slugs: PathBuf,
    /// For what is under way; emptied at start.
    pub(super) tmp: PathBuf,
    pub(super) turns: Turns,
}

/// One at a time for each digest of a slug.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    async fn take(&self, image: Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(image).or_default())
        };
        turn.lock_owned().await
    }
}

impl Travels {
    /// The slug as a layer; made once for each content, for all who ask meanwhile.
    pub(super) async fn layer(&self, slug: &Slug) -> anyhow::Result<Layer> {
        if let Some(layer) = self.made(slug)? {
            return Ok(layer);
        }
        let digest: Digest = slug.digest.parse()?;
        let _turn = self.turns.take(digest).await;
        let id = slug.id;
        let slug = self.store.read(move |view| view.slug(id)).await?;
        if let Some(layer) = self.made(&slug)? {
            return Ok(layer);
        }
        let staged = tempfile::Builder::new()
            .prefix("layer-")
            .tempdir_in(&self.tmp)?;
        let mut images = Vec::new();
        for image in &slug.images {
            let image: Digest = image.parse()?;
            let file = self.slugs.join(image::file(&image));
            images.push(self.mounts.borrow(&image, &file).await?);
        }
        let out = staged.path().join("slug.tgz");
        let target = out.clone();
        let write =
            async |tree: PathBuf| spawn_blocking(move || travel::write_tgz(&tree, &target)).await;
        let made = match images.as_slice() {
            [tree] => write(tree.path().to_owned()).await??,
            images => {
                let images: Vec<&Path> = images.iter().map(Borrowed::path).collect();
                let view = View::open(&images, staged.path()).await?;
                let made = write(view.tree().to_owned()).await;
                view.close().await?;
                made??
            }
        };
        self.blobs.put_file(&out, &made.digest)?;
        let tgz = Tgz {
            digest: made.digest.to_string(),
            diff_id: made.diff_id.to_string(),
            size: made.size,
        };
        let layer = as_layer(&tgz)?;
        let name = slug.digest.clone();
        self.store.write(move |tx| tx.set_tgz(&name, &tgz)).await?;
        Ok(layer)
    }

    fn made(&self, slug: &Slug) -> anyhow::Result<Option<Layer>> {
        match &slug.tgz {
            Some(tgz) if self.blobs.size(&tgz.digest.parse()?)?.is_some() => {
                as_layer(tgz).map(Some)
            }
            _ => Ok(None),
        }
    }
}

pub(super) fn as_layer(tgz: &Tgz) -> anyhow::Result<Layer> {
    Ok(Layer {
        digest: tgz.digest.parse()?,
        diff_id: tgz.diff_id.parse()?,
        size: tgz.size,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn turns_are_taken_one_after_the_other_and_forgotten() {
        let turns = Turns::default();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = async |image: &[u8]| {
            let _turn = turns.take(Digest::of(image)).await;
            most.fetch_max(
                inside.fetch_add(1, Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::Relaxed);
        };
        tokio::join!(work(b"one"), work(b"one"), work(b"one"));
        assert_eq!(most.load(Ordering::Relaxed), 1);
        tokio::join!(work(b"one"), work(b"two"));
        assert_eq!(most.load(Ordering::Relaxed), 2, "others do not wait");
        drop(turns.take(Digest::of(b"three")).await);
        let known = turns.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(known, 1);
    }
}
