//! What is kept between builds: results and their blobs, under one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use ropewalk_registry::{BlobStore, Digest};
use ropewalk_slug::remove_tree;
use ropewalk_slug::staging::Staged;
use rustix::fs::{FlockOperation, flock};

use crate::build::Stack;
use crate::{Error, Result};

/// How the names of the folders that builds work in begin.
pub(crate) const WORK_PREFIX: &str = "work-";
/// How many versions of a stack the cache keeps: the one in use and the one before.
const RESULTS: usize = 2;

/// One build per cache; the lock goes with the file. Also removes what a killed build left.
pub(crate) async fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    let file = tokio::task::spawn_blocking(move || {
        flock(&file, FlockOperation::LockExclusive).map(|()| file)
    });
    let file = file
        .await?
        .map_err(|errno| Error::io("lock", &path)(errno.into()))?;
    for entry in fs::read_dir(cache).map_err(Error::io("list", cache))? {
        let entry = entry.map_err(Error::io("list", cache))?;
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            remove_tree(&entry.path()).await?;
        }
    }
    Ok(file)
}

fn blobs_of(stack: &Stack) -> impl Iterator<Item = Digest> {
    let configs = [stack.run.config_digest, stack.build.config_digest];
    let layers = stack.build.layers.iter().map(|layer| layer.digest);
    configs.into_iter().chain(layers)
}

/// The result of an earlier build, if it and its blobs are whole.
pub(crate) fn recall(record: &Path, kept: &BlobStore) -> Result<Option<Stack>> {
    let Ok(text) = fs::read(record) else {
        return Ok(None);
    };
    let Ok(stack) = serde_json::from_slice::<Stack>(&text) else {
        return Ok(None);
    };
    for digest in blobs_of(&stack) {
        if kept.size(&digest)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(stack))
}

pub(crate) fn remember(record: &Path, stack: &Stack) -> Result<()> {
    let staged = Staged::beside(record);
    let path = staged.path();
    fs::write(path, serde_json::to_vec_pretty(stack)?).map_err(Error::io("write", path))?;
    Ok(staged.publish()?)
}

/// Forgets all but the last few results of each stack, and the blobs that none of those has.
pub(crate) fn prune(cache: &Path, kept: &BlobStore) -> Result<()> {
    let mut records = Vec::new();
    for entry in fs::read_dir(cache).map_err(Error::io("list", cache))? {
        let path = entry.map_err(Error::io("list", cache))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let facts = fs::metadata(&path).and_then(|facts| facts.modified());
            records.push((facts.map_err(Error::io("look at", &path))?, path));
        }
    }
    records.sort_unstable();
    let mut counts = BTreeMap::<String, usize>::new();
    let mut wanted = BTreeSet::new();
    for (_, path) in records.into_iter().rev() {
        let stack = recall(&path, kept)?;
        let count = stack
            .as_ref()
            .map(|stack| counts.entry(stack.name.clone()).or_default());
        match (stack, count) {
            (Some(stack), Some(count)) if *count < RESULTS => {
                *count += 1;
                wanted.extend(blobs_of(&stack));
            }
            _ => fs::remove_file(&path).map_err(Error::io("remove", &path))?,
        }
    }
    for digest in kept.list()? {
        if !wanted.contains(&digest) {
            kept.remove(&digest)?;
        }
    }
    Ok(())
}

pub(crate) async fn share(stack: &Stack, kept: &BlobStore, blobs: &BlobStore) -> Result<()> {
    let digests: Vec<Digest> = blobs_of(stack).collect();
    let (kept, blobs) = (kept.clone(), blobs.clone());
    tokio::task::spawn_blocking(move || {
        for digest in digests {
            blobs.link_file(&kept.path(&digest), &digest)?;
        }
        Ok(())
    })
    .await?
}
