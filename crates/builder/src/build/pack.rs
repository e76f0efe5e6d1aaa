//! From the built tree to the published images of a slug: one of the whole tree, or a small one of what changed since
//! the last that is whole, which lies above that one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ropewalk_model::AppId;
use ropewalk_slug::image::{self, HARD_LIMIT, WARNING_LIMIT};
use ropewalk_slug::{
    Base, Change, Digest, Image, Limits, Notes, Stamps, Survey, TreeFacts, staging, survey,
};

use super::base;
use super::beneath::is_folder;
use super::failure::Failure;
use super::log::BuildLog;
use super::site::Site;
use crate::context::Context;
use crate::error::chain;
use crate::{Error, Result};

/// What lies above an image costs every look into it a little, and its bytes lie on the disk for nothing: of a whole
/// image's bytes and names, this part at most is new, changed or gone.
const LARGEST_CHANGE: u64 = 4;
/// Room for what squashfs adds to the bytes of files.
const OVERHEAD: u64 = 16 << 20;

/// A packed slug.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// Of what is in it.
    pub(crate) digest: Digest,
    /// The lowest first.
    pub(crate) images: Vec<Digest>,
    /// Bytes of all images.
    pub(crate) size: u64,
}

impl Packed {
    /// The images as the ledger has them.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.images.iter().map(Digest::to_string).collect()
    }
}

/// Packs the app's tree and puts its images among the others, unless the same are there. Of an app that is built again
/// and again, `notes_of`, only what changed is packed.
pub(crate) async fn pack(
    context: &Context,
    site: &Site,
    notes_of: Option<AppId>,
    log: &mut BuildLog,
) -> Result<Packed, Failure> {
    log.header("Compressing...").await;
    let tree = site.app();
    // The build could have put a link to anywhere in its place.
    if !is_folder(&tree) {
        return Err(Failure::App(
            "The build removed the app's folder.".to_owned(),
        ));
    }
    let place = Place {
        slugs: context.options.data.join("slugs"),
        notes: notes_of.map(|app| base::notes(context, app)),
        above: site.folder.join("above"),
        unpublished: site.folder.join("slug.squashfs"),
        tree,
    };
    let (place, looked) = tokio::task::spawn_blocking(move || {
        let looked = place.look();
        (place, looked)
    })
    .await?;
    let looked = looked?;
    let packed = place.pack(&looked).await?;
    if packed.size > HARD_LIMIT {
        return Err(Failure::TooLarge { bytes: packed.size });
    }
    let kept = packed.clone();
    let noted = tokio::task::spawn_blocking(move || place.remember(looked, &kept)).await?;
    if let Err(error) = noted {
        tracing::warn!(app = ?notes_of, error = chain(&error), "What was packed could not be noted; the next build packs all of it.");
    }
    log.detail(&format!("Done: {}", size(packed.size))).await;
    if packed.size > WARNING_LIMIT {
        log.warning(&format!(
            "Your slug size ({} MB) exceeds our soft limit ({} MB) which may affect boot time.",
            packed.size / 1_000_000,
            WARNING_LIMIT / 1_000_000
        ))
        .await;
    }
    Ok(packed)
}

/// Where everything is.
#[derive(Debug)]
struct Place {
    tree: PathBuf,
    slugs: PathBuf,
    notes: Option<PathBuf>,
    /// Where what changed is laid out.
    above: PathBuf,
    unpublished: PathBuf,
}

/// A tree beside what is known of the last one.
#[derive(Debug)]
struct Looked {
    survey: Survey,
    digest: Digest,
    plan: Plan,
}

/// Of which images the slug is to be made.
#[derive(Debug)]
enum Plan {
    Whole,
    /// Nothing changed.
    Base(Base),
    /// What changed is laid out.
    Above(Base),
}

impl Place {
    /// Blocking.
    fn look(&self) -> Result<Looked> {
        let notes = self.notes.as_deref().and_then(Notes::read);
        let (stamps, base) = match notes {
            Some(notes) => (notes.stamps, Some(notes.base)),
            None => (Stamps::default(), None),
        };
        let survey = survey(&self.tree, Limits::SLUG, &stamps)?;
        let plan = match base {
            Some(base) => self.compare(base, &survey)?,
            None => Plan::Whole,
        };
        Ok(Looked {
            digest: survey.listing.digest(),
            survey,
            plan,
        })
    }

    fn compare(&self, mut base: Base, survey: &Survey) -> Result<Plan> {
        let file = self.slugs.join(image::file(&base.image));
        // Also when it is damaged, so that a push heals what it serves.
        if !base.still_is(&file) {
            return Ok(Plan::Whole);
        }
        let change = Change::between(&base.listing, &survey.listing);
        if change.names() == 0 {
            return Ok(Plan::Base(base));
        }
        if !is_small(&change, &base, survey.facts) {
            return Ok(Plan::Whole);
        }
        fs::create_dir(&self.above).map_err(Error::io("make", &self.above))?;
        change.lay_out(&self.tree, &self.above)?;
        Ok(Plan::Above(base))
    }

    async fn pack(&self, looked: &Looked) -> Result<Packed, Failure> {
        let digest = looked.digest;
        let (below, tree) = match &looked.plan {
            Plan::Whole => (None, &self.tree),
            Plan::Base(base) => {
                return Ok(Packed {
                    digest,
                    images: vec![base.image],
                    size: base.size,
                });
            }
            Plan::Above(base) => (Some(base), &self.above),
        };
        let image = ropewalk_slug::pack(tree, &self.unpublished).await?;
        let size = image.size + below.map_or(0, |base| base.size);
        if size <= HARD_LIMIT {
            self.publish(image).await?;
        }
        let below = below.map(|base| base.image);
        Ok(Packed {
            digest,
            images: below.into_iter().chain([image.digest]).collect(),
            size,
        })
    }

    async fn publish(&self, image: Image) -> Result<()> {
        let published = self.slugs.join(image::file(&image.digest));
        let same = {
            let published = published.clone();
            tokio::task::spawn_blocking(move || is_whole(&published, &image))
        };
        if !same.await? {
            fs::rename(&self.unpublished, &published)
                .map_err(Error::io("rename", &self.unpublished))?;
            let slugs = self.slugs.clone();
            tokio::task::spawn_blocking(move || staging::sync_folder(&slugs)).await??;
        }
        Ok(())
    }

    /// For the next time. Blocking.
    fn remember(&self, looked: Looked, packed: &Packed) -> Result<()> {
        let Some(path) = &self.notes else {
            return Ok(());
        };
        let Survey {
            listing,
            facts,
            stamps,
        } = looked.survey;
        let base = match (looked.plan, packed.images.as_slice()) {
            (Plan::Base(base) | Plan::Above(base), _) => base,
            (Plan::Whole, [image, ..]) => {
                let file = self.slugs.join(image::file(image));
                Base::new(&file, *image, facts.bytes, listing)?
            }
            (Plan::Whole, []) => return Ok(()),
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        }
        Ok(Notes { stamps, base }.write(path)?)
    }
}

fn is_small(change: &Change, base: &Base, facts: TreeFacts) -> bool {
    let names = change.names() as u64;
    change.bytes + change.covered <= base.tree_bytes / LARGEST_CHANGE
        && names <= facts.entries / LARGEST_CHANGE
        && base.size + change.bytes + OVERHEAD <= HARD_LIMIT
}

/// Whether the image lies there undamaged. A damaged one is replaced, so that a push heals what it serves. Blocking.
fn is_whole(path: &Path, image: &Image) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.size() == image.size)
        && Digest::of_file(path).is_ok_and(|found| found == image.digest)
}

/// `41.7M`, `812.3K`, as Heroku prints sizes.
fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    match kib < 1024.0 {
        true => format!("{kib:.1}K"),
        false => format!("{:.1}M", kib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_image_of_the_same_size_is_not_taken_for_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slug");
        fs::write(&path, "image").unwrap();
        let image = Image {
            digest: Digest::of_file(&path).unwrap(),
            size: 5,
        };
        assert!(is_whole(&path, &image));
        fs::write(&path, "imaGe").unwrap();
        assert!(!is_whole(&path, &image));
        assert!(!is_whole(&dir.path().join("none"), &image));
    }

    #[test]
    fn sizes_read_as_herokus() {
        assert_eq!(size(43_725_620), "41.7M");
        assert_eq!(size(831_795), "812.3K");
    }
}
