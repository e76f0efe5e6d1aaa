//! The straight line from a description to two images: debootstrap, run packages, layer, build packages, layer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use ropewalk_registry::image::{self, Form};
use ropewalk_registry::{BlobStore, Digest, ImageRef, Layer, Settings};
use ropewalk_slug::remove_tree;
use serde::{Deserialize, Serialize};

use crate::cache::{WORK_PREFIX, lock, prune, recall, remember, share};
use crate::chroot::{Side, Workshop};
use crate::files::{add_users, copy_files};
use crate::normalise::normalise;
use crate::packages::{Security, bootstrap, configure_apt, counter, install, update, upgrade};
use crate::spec::Spec;
use crate::{Error, Result, layer, mirror};

/// Takes each line that says how far a build is.
pub type Progress<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// The clock of file systems is coarser than the system's.
const CLOCK_SLACK: i64 = 5;

/// A built stack; its images' configs and layers are in the blob store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    pub name: String,
    /// Digest over both images: equal versions are equal to the byte.
    pub version: Digest,
    pub run: ImageRef,
    pub build: ImageRef,
    /// How a container of either image starts; a release's image begins with these.
    pub settings: Settings,
    /// Bytes of the files of each image.
    pub run_size: u64,
    pub build_size: u64,
    /// How long the making took, whenever that was.
    pub seconds: f64,
}

/// Builds a stack, or takes it from `cache` when the same description was built there before and `fresh` is not
/// set. Needs root, debootstrap and a mirror in reach. Only one build per cache runs at a time; others wait.
///
/// `cache` keeps layers, package files and results between builds and data directories. However a build ends,
/// nothing stays mounted; folders of one that was killed are removed by the next.
pub async fn build(
    spec: &Spec,
    blobs: &BlobStore,
    cache: &Path,
    fresh: bool,
    progress: &Progress<'_>,
) -> Result<Stack> {
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let cache = fs::canonicalize(cache).map_err(Error::io("open", cache))?;
    let _turn = lock(&cache).await?;
    let kept = BlobStore::open(&cache.join("blobs"))?;
    let record = cache.join(format!("{}.json", spec.key.hex()));
    let name = &spec.description.name;
    if !fresh && let Some(stack) = recall(&record, &kept)? {
        progress(&format!("{name}: unchanged, taken from the cache"));
        share(&stack, &kept, blobs).await?;
        return Ok(stack);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NeedsRoot);
    }
    let begun = Instant::now();
    let (mut stack, security) = make(spec, &kept, &cache, progress).await?;
    stack.seconds = begun.elapsed().as_secs_f64();
    keep(&stack, security, &record, &kept, blobs).await?;
    progress(&summary(&stack));
    if security == Security::Missing {
        progress(&format!(
            "{name}: WARNING: this stack lacks Debian's security updates; it is not remembered, so the next build tries again"
        ));
    }
    Ok(stack)
}

/// Hands the stack over and remembers it, but not one that lacks security updates: the next build is to try again.
async fn keep(
    stack: &Stack,
    security: Security,
    record: &Path,
    kept: &BlobStore,
    blobs: &BlobStore,
) -> Result<()> {
    // Before pruning, which removes the blobs of what is not remembered.
    share(stack, kept, blobs).await?;
    if security == Security::Updated {
        remember(record, stack)?;
    }
    prune(record.parent().unwrap_or(record), kept)
}

async fn make(
    spec: &Spec,
    kept: &BlobStore,
    cache: &Path,
    progress: &Progress<'_>,
) -> Result<(Stack, Security)> {
    let description = &spec.description;
    let name = description.name.as_str();
    let architecture = architecture()?;
    let started = now() - CLOCK_SLACK;
    let folder = tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(cache)
        .map_err(Error::io("create a folder in", cache))?;
    let shop = workshop(folder.path(), cache)?;
    let mirrors = mirror::of_this_host();

    progress(&format!(
        "{name}: bootstrapping Debian {}",
        description.suite
    ));
    bootstrap(
        spec,
        architecture,
        &shop,
        &mirrors,
        &mut counter(name, progress),
    )
    .await?;
    configure_apt(&shop).await?;
    let security = update(spec, &shop, &mirrors, progress).await?;

    progress(&format!("{name}: installing the run image's packages"));
    upgrade(&shop).await?;
    install(
        &description.run,
        Side::Run,
        &shop,
        &mut counter(name, progress),
    )
    .await?;
    add_users(&description.users, &shop.root)?;
    copy_files(&spec.folder.join("files/run"), &shop.root)?;
    normalise(&shop.root).await?;

    progress(&format!(
        "{name}: packing the run image, installing the build image's packages"
    ));
    let packing = pack(shop.root.clone(), started, kept.clone());
    let installing = async {
        install(
            &description.build,
            Side::Build,
            &shop,
            &mut counter(name, progress),
        )
        .await?;
        copy_files(&spec.folder.join("files/build"), &shop.upper)?;
        normalise(&shop.upper).await
    };
    let ((run_layer, run_size), ()) = tokio::try_join!(packing, installing)?;

    progress(&format!("{name}: packing the build image"));
    let (build_layer, build_size) = pack(shop.upper.clone(), started, kept.clone()).await?;
    let settings = settings(name, architecture, &description.env);
    let run = describe(&settings, vec![run_layer], kept)?;
    let build = describe(&settings, vec![run_layer, build_layer], kept)?;
    remove_tree(folder.path()).await?;
    let stack = Stack {
        name: name.to_owned(),
        version: version(&run, &build),
        run,
        build,
        settings,
        run_size,
        build_size: run_size + build_size,
        seconds: 0.0,
    };
    Ok((stack, security))
}

/// Debian's word for this host's processor.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(Error::Architecture(other)),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

fn workshop(folder: &Path, cache: &Path) -> Result<Workshop> {
    let shop = Workshop {
        root: folder.join("root"),
        upper: folder.join("upper"),
        work: folder.join("work"),
        merged: folder.join("merged"),
        debs: cache.join("packages"),
        lists: folder.join("lists"),
        conf: folder.join("conf"),
    };
    let all = [
        &shop.root,
        &shop.upper,
        &shop.work,
        &shop.merged,
        &shop.debs,
        &shop.lists,
        &shop.conf,
    ];
    for path in all {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
    }
    // These become the images' root folder.
    for path in [&shop.root, &shop.upper] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("change the mode of", path))?;
    }
    Ok(shop)
}

async fn pack(root: PathBuf, started: i64, kept: BlobStore) -> Result<(Layer, u64)> {
    tokio::task::spawn_blocking(move || layer::write(&root, started, &kept)).await?
}

fn settings(name: &str, architecture: &str, env: &BTreeMap<String, String>) -> Settings {
    Settings {
        architecture: architecture.to_owned(),
        user: format!("{0}:{0}", ropewalk_slug::DYNO_ID),
        working_dir: "/app".to_owned(),
        env: env.clone(),
        command: vec!["/bin/bash".to_owned()],
        labels: [("ropewalk.stack".to_owned(), name.to_owned())].into(),
        ..Settings::default()
    }
}

/// The image of these layers, described in the blob store.
pub fn describe(settings: &Settings, layers: Vec<Layer>, kept: &BlobStore) -> Result<ImageRef> {
    let config = image::config(settings, &layers)?;
    let manifest = image::manifest(Form::Oci, &config, &layers)?;
    Ok(ImageRef {
        config_digest: kept.put_bytes(&config)?,
        manifest_digest: manifest.digest,
        layers,
    })
}

/// The version of a stack of these images: another one as soon as a byte of either differs, and not before.
pub fn version(run: &ImageRef, build: &ImageRef) -> Digest {
    let text = format!("{}\n{}\n", run.config_digest, build.config_digest);
    Digest::of(text.as_bytes())
}

fn summary(stack: &Stack) -> String {
    let mega = |bytes: u64| bytes / 1_000_000;
    let packed = |image: &ImageRef| mega(image.layers.iter().map(|layer| layer.size).sum());
    format!(
        "{}: run image {} MB ({} MB packed), build image {} MB ({} MB packed), {:.0} s",
        stack.name,
        mega(stack.run_size),
        packed(&stack.run),
        mega(stack.build_size),
        packed(&stack.build),
        stack.seconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stack_without_security_updates_is_handed_over_and_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let kept = BlobStore::open(&folder.path().join("blobs")).unwrap();
        let blobs = BlobStore::open(&folder.path().join("data")).unwrap();
        let record = folder.path().join("record.json");
        let settings = settings("tiny", "amd64", &BTreeMap::new());
        let image = describe(&settings, Vec::new(), &kept).unwrap();
        let stack = Stack {
            name: "tiny".to_owned(),
            version: version(&image, &image),
            run: image.clone(),
            build: image.clone(),
            settings,
            run_size: 0,
            build_size: 0,
            seconds: 0.0,
        };
        for (security, remembered) in [(Security::Missing, false), (Security::Updated, true)] {
            kept.put_bytes(&image::config(&stack.settings, &[]).unwrap())
                .unwrap();
            keep(&stack, security, &record, &kept, &blobs)
                .await
                .unwrap();
            assert!(blobs.size(&image.config_digest).unwrap().is_some());
            assert_eq!(recall(&record, &kept).unwrap().is_some(), remembered);
        }
    }
}
