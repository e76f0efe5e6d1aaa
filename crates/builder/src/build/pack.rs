//! From the built tree to a published slug image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ropewalk_slug::image::{HARD_LIMIT, WARNING_LIMIT};
use ropewalk_slug::{Digest, Image, Limits, prepare, staging};

use super::beneath::is_folder;
use super::failure::Failure;
use super::log::BuildLog;
use super::site::Site;
use crate::Error;
use crate::context::Context;

/// Packs the app's tree and puts the image among the slugs, unless the same is there.
pub(crate) async fn pack(
    context: &Context,
    site: &Site,
    log: &mut BuildLog,
) -> Result<Image, Failure> {
    log.header("Compressing...").await;
    let tree = site.app();
    // The build could have put a link to anywhere in its place.
    if !is_folder(&tree) {
        return Err(Failure::App(
            "The build removed the app's folder.".to_owned(),
        ));
    }
    let prepared = {
        let tree = tree.clone();
        tokio::task::spawn_blocking(move || prepare(&tree, Limits::SLUG))
    };
    let facts = prepared.await??;
    let unpublished = site.folder.join("slug.squashfs");
    let image = ropewalk_slug::pack(&tree, facts, &unpublished).await?;
    if image.size > HARD_LIMIT {
        return Err(Failure::TooLarge { bytes: image.size });
    }
    let slugs = context.options.data.join("slugs");
    let published = slugs.join(format!("{}.squashfs", image.digest.hex()));
    let same = {
        let (published, image) = (published.clone(), image);
        tokio::task::spawn_blocking(move || is_whole(&published, &image))
    };
    if !same.await? {
        fs::rename(&unpublished, &published).map_err(Error::io("rename", &unpublished))?;
        tokio::task::spawn_blocking(move || staging::sync_folder(&slugs)).await??;
    }
    log.detail(&format!("Done: {}", size(image.size))).await;
    if image.size > WARNING_LIMIT {
        log.warning(&format!(
            "Your slug size ({} MB) exceeds our soft limit ({} MB) which may affect boot time.",
            image.size / 1_000_000,
            WARNING_LIMIT / 1_000_000
        ))
        .await;
    }
    Ok(image)
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
            tree_bytes: 0,
            files: 0,
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
