//! Removes mounts and slug images that nothing refers to.

use std::collections::BTreeSet;
use std::time::Duration;

use ropewalk_model::DynoId;
use ropewalk_slug::Digest;

use crate::SchedulerError;
use crate::reconcile::Shared;

/// A slug image younger than this may belong to a build that has not written its row yet.
const MIN_AGE: Duration = Duration::from_secs(3600);

pub(crate) async fn run(shared: &Shared) -> Result<(), SchedulerError> {
    let (dynos, needed, named) = shared
        .store
        .read(|view| {
            let mut dynos: BTreeSet<DynoId> = BTreeSet::new();
            let mut needed: BTreeSet<Digest> = BTreeSet::new();
            for dyno in view.all_dynos()? {
                dynos.insert(dyno.id);
                let slug = view
                    .release(dyno.app, dyno.release_version)
                    .ok()
                    .and_then(|release| release.slug);
                if let Some(slug) = slug
                    && let Ok(digest) = view.slug(slug)?.image_digest.parse()
                {
                    needed.insert(digest);
                }
            }
            let named: BTreeSet<Digest> = view
                .slug_images()?
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect();
            Ok((dynos, needed, named))
        })
        .await?;
    let swept = shared.mounts.sweep(&dynos, &needed).await?;
    tracing::debug!(?swept, "Mounts were swept.");
    let folder = shared.config.slugs.clone();
    let removed = tokio::task::spawn_blocking(move || remove_images(&folder, &named)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, "Slug images could not be swept.");
    }
    Ok(())
}

fn remove_images(folder: &std::path::Path, named: &BTreeSet<Digest>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let digest = name
            .to_str()
            .and_then(|name| name.strip_suffix(".squashfs"))
            .and_then(Digest::from_hex);
        let old = entry
            .metadata()?
            .modified()?
            .elapsed()
            .is_ok_and(|age| age > MIN_AGE);
        if digest.is_some_and(|digest| !named.contains(&digest)) && old {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
