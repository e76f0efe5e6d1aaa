//! `ropewalk stacks:build`, and what the server does with a stack that was built: it takes it in while it runs.

use std::fs;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use ropewalk_engine::{Engine, ImageIds};
use ropewalk_registry::BlobStore;
use ropewalk_stack::{Spec, Stack};
use ropewalk_store::{Key, Store};
use tokio::time::Instant;

use super::data::{Data, replace};
use super::{DataArg, bundle, local};

/// For the server to take in what was built: an engine needs half a minute for a stack.
const TAKEN_IN: Duration = Duration::from_secs(180);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct StacksBuild {
    /// Name of a stack that comes with Ropewalk, or the folder of another's description
    #[arg(default_value = "debian-13")]
    stack: PathBuf,
    #[command(flatten)]
    data: DataArg,
    /// Where layers are kept between builds, by content
    #[arg(long, value_name = "DIR", default_value = "/var/cache/ropewalk")]
    cache: PathBuf,
    /// Build even if this description was built before: takes the newest packages
    #[arg(long)]
    fresh: bool,
}

impl StacksBuild {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let data = Data::open(&self.data.data)?;
        let folder = match self.stack.components().count() {
            1 => bundle::unpacked(&data.root)?
                .join("stacks")
                .join(&self.stack),
            _ => self.stack.clone(),
        };
        if !folder.is_dir() {
            bail!(
                "there is no stack {}; debian-13 comes with Ropewalk, and a folder describes another",
                self.stack.display()
            );
        }
        let spec = Spec::load(&folder)?;
        let blobs = BlobStore::open(&data.path("blobs"))?;
        let printer = crate::ui::Printer::for_process();
        printer.line(&format!("-----> Stack {}", spec.description.name))?;
        // A terminal that went away does not stop a build.
        let progress = |text: &str| drop(printer.line(&format!("       {text}")));
        let stack =
            ropewalk_stack::build(&spec, &blobs, &self.cache, self.fresh, &progress).await?;
        let file = data.path("stacks").join(format!("{}.json", stack.name));
        replace(&file, &serde_json::to_vec_pretty(&stack)?, 0o644)?;
        progress(&format!("{} is {}", stack.name, stack.version));
        match taken_in(&data, &stack).await {
            Some(true) => progress(
                "The server has it: builds use it, and ropewalk rebase --all puts apps on it without one.",
            ),
            Some(false) => progress(
                "The server has not taken it in yet. It goes on trying; its log says what fails.",
            ),
            None => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits until the server has taken the stack in, so that what is typed next finds it there; `None` where no server
/// runs, or one that takes stacks in at its start alone.
async fn taken_in(data: &Data, stack: &Stack) -> Option<bool> {
    let version = stack.version.to_string();
    let give_up = Instant::now() + TAKEN_IN;
    loop {
        let known = local::stacks(data).await.ok()?;
        if known
            .iter()
            .any(|one| one.name == stack.name && one.version == version)
        {
            return Some(true);
        }
        if Instant::now() >= give_up {
            return Some(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Stacks that were built for this data directory.
pub(crate) fn built(data: &Data) -> Result<Vec<Stack>> {
    let mut stacks = Vec::new();
    for entry in fs::read_dir(data.path("stacks"))?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "json") {
            let text = fs::read(entry.path())?;
            let stack = serde_json::from_slice(&text)
                .with_context(|| format!("{} is not a stack", entry.path().display()))?;
            stacks.push(stack);
        }
    }
    Ok(stacks)
}

/// Every stack version that this installation may have loaded into the engine: those that are built now, and the
/// older ones in the ledger.
async fn known(data: &Data) -> Result<Vec<Stack>> {
    let mut stacks = built(data)?;
    let ledger = data.path("ledger.db");
    if ledger.exists() {
        let store = Store::open(&ledger, Key::open(&data.path("key"))?)?;
        for row in store.read(|view| view.stacks()).await? {
            let stack: Stack = serde_json::from_value(row.images)
                .with_context(|| format!("the ledger's {} is not a stack", row.name))?;
            if !stacks.iter().any(|one| one.version == stack.version) {
                stacks.push(stack);
            }
        }
    }
    Ok(stacks)
}

/// Their images, as an engine may know them.
pub(crate) async fn images(data: &Data) -> Result<Vec<ImageIds>> {
    let mut images = Vec::new();
    for stack in known(data).await? {
        // Build images first: they hold on to the layers of run images.
        for image in [&stack.build, &stack.run] {
            images.extend(ImageIds::read(&serde_json::to_value(image)?));
        }
    }
    Ok(images)
}

/// Notes in the ledger the built stacks of which it has no version, so that apps can name them before the engine has
/// been asked for anything. Other versions are for [`admit`].
pub(crate) async fn register(data: &Data, store: &Store) -> Result<()> {
    for stack in built(data)? {
        let name = stack.name.clone();
        let known = store.read(move |view| view.newest_stack(&name)).await?;
        if known.is_none() {
            note(store, stack).await?;
        }
    }
    Ok(())
}

/// Takes in the versions that were built since: the engine first, then the ledger, so that nothing is built or
/// released on what the engine does not have.
pub(crate) async fn admit(data: &Data, store: &Store, engine: &dyn Engine) -> Result<()> {
    for stack in built(data)? {
        let name = stack.name.clone();
        let newest = store.read(move |view| view.newest_stack(&name)).await?;
        if newest.is_some_and(|newest| newest.version == stack.version.to_string()) {
            continue;
        }
        ensure(data, &stack, engine).await?;
        note(store, stack).await?;
    }
    Ok(())
}

async fn note(store: &Store, stack: Stack) -> Result<()> {
    let images = serde_json::to_value(&stack)?;
    let put = store.write(move |tx| {
        let version = stack.version.to_string();
        tx.put_stack(&stack.name, &version, &images, Timestamp::now())
    });
    Ok(put.await?)
}

/// Loads the images of every stack version in the ledger that the engine does not have: the newest for builds,
/// older ones for releases that were made on them.
pub(crate) async fn load(data: &Data, store: &Store, engine: &dyn Engine) -> Result<()> {
    for row in store.read(|view| view.stacks()).await? {
        let stack: Stack = serde_json::from_value(row.images)
            .with_context(|| format!("the ledger's {} is not a stack", row.name))?;
        ensure(data, &stack, engine).await?;
    }
    Ok(())
}

/// Loads a stack's images if the engine lacks them.
async fn ensure(data: &Data, stack: &Stack, engine: &dyn Engine) -> Result<()> {
    if has_both(stack, engine).await? {
        return Ok(());
    }
    let blobs = BlobStore::open(&data.path("blobs"))?;
    let staged = tempfile::Builder::new()
        .prefix("stack-")
        .suffix(".tar")
        .tempfile_in(data.path("tmp"))?;
    let file = staged.as_file().try_clone()?;
    let images = (stack.run.clone(), stack.build.clone());
    tokio::task::spawn_blocking(move || {
        let (run, build) = &images;
        let mut out = BufWriter::new(file);
        ropewalk_stack::docker_archive(&[(run, None), (build, None)], &blobs, &mut out)?;
        std::io::Write::flush(&mut out).map_err(anyhow::Error::from)
    })
    .await??;
    engine.load_image(staged.path()).await?;
    if !has_both(stack, engine).await? {
        bail!(
            "the engine took the images of {} and knows them by none of their digests",
            stack.name
        );
    }
    tracing::info!(
        stack = stack.name,
        version = %stack.version,
        "A stack was loaded into the engine."
    );
    Ok(())
}

/// Whether the engine has a stack's run image and its build image.
async fn has_both(stack: &Stack, engine: &dyn Engine) -> Result<bool> {
    for image in [&stack.run, &stack.build] {
        let image = serde_json::to_value(image)?;
        let ids = ImageIds::read(&image).context("a stack without its images")?;
        if ids.find(engine).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use ropewalk_engine::fake::{FakeEngine, Fault};

    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn image(digit: char) -> serde_json::Value {
        serde_json::json!({
            "config_digest": digest(digit), "manifest_digest": digest(digit), "layers": [],
        })
    }

    /// A stack whose digests are made of these digits: its version, its run image, its build image.
    fn stack([version, run, build]: [char; 3]) -> Result<Stack> {
        Ok(serde_json::from_value(serde_json::json!({
            "name": "debian-13",
            "version": digest(version),
            "run": image(run),
            "build": image(build),
            "settings": {
                "architecture": "amd64", "user": "", "working_dir": "/", "env": {},
                "entrypoint": [], "command": [], "labels": {},
            },
            "run_size": 0,
            "build_size": 0,
            "seconds": 0.0,
        }))?)
    }

    #[tokio::test]
    async fn images_of_older_versions_are_known_by_the_ledger() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = Data::open(folder.path())?;
        assert!(images(&data).await?.is_empty(), "nothing was ever started");

        let file = data.path("stacks/debian-13.json");
        replace(&file, &serde_json::to_vec(&stack(['a', 'b', 'c'])?)?, 0o644)?;
        let store = Store::open(&data.path("ledger.db"), Key::open(&data.path("key"))?)?;
        register(&data, &store).await?;
        drop(store);
        replace(&file, &serde_json::to_vec(&stack(['d', 'e', 'f'])?)?, 0o644)?;

        let found = images(&data).await?;
        let expected = ['f', 'e', 'c', 'b'].map(image);
        let expected = expected.iter().filter_map(ImageIds::read);
        assert_eq!(found, expected.collect::<Vec<_>>());
        Ok(())
    }

    /// A stack whose images' configs are in the data directory, as one that was built is.
    fn built_stack(data: &Data, version: char) -> Result<Stack> {
        let blobs = BlobStore::open(&data.path("blobs"))?;
        let mut stack = stack([version; 3])?;
        for (image, name) in [(&mut stack.run, "run"), (&mut stack.build, "build")] {
            image.config_digest = blobs.put_bytes(format!("{name} {version}").as_bytes())?;
        }
        let file = data.path("stacks/debian-13.json");
        replace(&file, &serde_json::to_vec(&stack)?, 0o644)?;
        Ok(stack)
    }

    #[tokio::test]
    async fn a_version_that_was_built_is_named_once_the_engine_has_it() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = Data::open(folder.path())?;
        let store = Store::open(&data.path("ledger.db"), Key::open(&data.path("key"))?)?;
        let engine = FakeEngine::new(data.instance.clone());
        let newest = async || {
            let newest = store.read(|view| view.newest_stack("debian-13")).await?;
            anyhow::Ok(newest.map(|newest| newest.version))
        };
        built_stack(&data, 'a')?;
        register(&data, &store).await?;
        assert_eq!(newest().await?, Some(digest('a')), "the first one at once");
        admit(&data, &store, &engine).await?;
        assert!(engine.calls().is_empty(), "it is known");

        let stack = built_stack(&data, 'b')?;
        register(&data, &store).await?;
        assert_eq!(newest().await?, Some(digest('a')));
        for image in [&stack.run, &stack.build] {
            engine.forget_image(&image.config_digest.to_string());
            engine.forget_image(&image.manifest_digest.to_string());
        }
        engine.fail_next("load_image", 1, Fault::Unreachable);
        assert!(admit(&data, &store, &engine).await.is_err());
        assert_eq!(newest().await?, Some(digest('a')), "nothing is built on it");
        admit(&data, &store, &engine).await?;
        assert_eq!(newest().await?, Some(digest('b')));
        Ok(())
    }
}
