//! Removes mounts and slug images that nothing refers to.

use std::collections::BTreeSet;
use std::time::Duration;

use ropewalk_model::DynoId;
use ropewalk_slug::Digest;

use crate::SchedulerError;
use crate::launch;
use crate::reconcile::Shared;

/// A slug image younger than this may belong to a build that has not written its row yet.
const MIN_AGE: Duration = Duration::from_secs(3600);

/// Goes on after a failure and returns the first one.
pub(crate) async fn run(shared: &Shared) -> Result<(), SchedulerError> {
    let outcomes = [
        overlays(shared).await,
        slugs(shared).await,
        shared.mounts.finish_removals().await.map_err(Into::into),
        images(shared).await,
    ];
    outcomes.into_iter().collect()
}

/// Listed before the rows are read: an overlay is made after its dyno's row, so one without a row is nobody's.
async fn overlays(shared: &Shared) -> Result<(), SchedulerError> {
    let present = shared.mounts.present()?.overlays;
    let dynos: BTreeSet<DynoId> = shared
        .store
        .read(|view| Ok(view.all_dynos()?.iter().map(|dyno| dyno.id).collect()))
        .await?;
    let mut outcome = Ok(());
    for dyno in present.difference(&dynos) {
        outcome = outcome.and(shared.mounts.remove_overlay(*dyno).await);
    }
    Ok(outcome?)
}

/// Nothing is mounted meanwhile: a new dyno may need a slug that none needed before.
async fn slugs(shared: &Shared) -> Result<(), SchedulerError> {
    let _mounting = shared.mounting.write().await;
    let needed: BTreeSet<Digest> = shared
        .store
        .read(|view| {
            let mut needed = BTreeSet::new();
            for dyno in view.all_dynos()? {
                let release = view.release(dyno.app, dyno.release_version);
                if let Some(slug) = release.ok().and_then(|release| release.slug) {
                    needed.extend(launch::images(&view.slug(slug)?).into_iter().flatten());
                }
            }
            Ok(needed)
        })
        .await?;
    let mut outcome = Ok(());
    for digest in shared.mounts.present()?.images.difference(&needed) {
        outcome = outcome.and(shared.mounts.remove_image(digest).await);
    }
    Ok(outcome?)
}

async fn images(shared: &Shared) -> Result<(), SchedulerError> {
    let named: BTreeSet<Digest> = shared
        .store
        .read(|view| {
            let images = view.slug_images()?;
            Ok(images.iter().filter_map(|text| text.parse().ok()).collect())
        })
        .await?;
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
        let digest = name.to_str().and_then(ropewalk_slug::image::of_file);
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
