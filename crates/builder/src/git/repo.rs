//! The bare repositories, one an app, named by the app's id so that a rename moves nothing.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ropewalk_model::AppId;
use ropewalk_slug::remove_tree;

use super::command::{Git, run};
use crate::context::Context;
use crate::error::chain;
use crate::{Error, Result};

/// Longest time that making a repository or setting a ref may take.
const SHORT: Duration = Duration::from_secs(30);
/// Longest time for packing a repository.
const LONG: Duration = Duration::from_secs(1800);

#[derive(Debug)]
pub(crate) struct Repos {
    root: PathBuf,
    making: tokio::sync::Mutex<()>,
    users: Arc<Mutex<HashMap<AppId, usize>>>,
    /// Bytes on disk, as last measured.
    sizes: Mutex<HashMap<AppId, u64>>,
}

/// A receiving git at work in a repository.
#[derive(Debug)]
pub(crate) struct InUse {
    app: AppId,
    users: Arc<Mutex<HashMap<AppId, usize>>>,
}

impl Repos {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            making: tokio::sync::Mutex::default(),
            users: Arc::default(),
            sizes: Mutex::default(),
        }
    }

    /// Bytes on disk; `None` before the first measurement.
    pub(crate) fn size(&self, app: AppId) -> Option<u64> {
        lock(&self.sizes).get(&app).copied()
    }

    pub(crate) async fn measure(&self, app: AppId) {
        let path = self.path(app);
        let measured = tokio::task::spawn_blocking(move || bytes_in(&path)).await;
        if let Ok(Ok(bytes)) = measured {
            lock(&self.sizes).insert(app, bytes);
        }
    }

    pub(crate) fn path(&self, app: AppId) -> PathBuf {
        self.root.join(format!("{app}.git"))
    }

    /// The app's repository, made at first use. It appears whole or not at all.
    pub(crate) async fn ensure(&self, git: &Git, app: AppId) -> Result<PathBuf> {
        let path = self.path(app);
        if path.join("HEAD").exists() {
            return Ok(path);
        }
        let _making = self.making.lock().await;
        if path.join("HEAD").exists() {
            return Ok(path);
        }
        let unfinished = self.root.join(format!(".making-{app}"));
        remove_tree(&unfinished).await?;
        let mut command = git.command(&self.root);
        command
            .env_remove("GIT_DIR")
            .args(["init", "--quiet", "--bare", "--template="])
            .arg("--initial-branch=main")
            .arg(&unfinished);
        run(&mut command, "init", SHORT).await?;
        std::fs::rename(&unfinished, &path).map_err(Error::io("rename", &unfinished))?;
        Ok(path)
    }

    /// Marks the repository as being pushed to.
    pub(crate) fn enter(&self, app: AppId) -> InUse {
        *lock(&self.users).entry(app).or_default() += 1;
        InUse {
            app,
            users: Arc::clone(&self.users),
        }
    }

    /// Removes what pushes that were cut off left behind, unless another push is under way.
    pub(crate) async fn tidy(&self, app: AppId) -> Result<()> {
        if lock(&self.users).contains_key(&app) {
            return Ok(());
        }
        remove_leftovers(&self.path(app)).await.map(|_| ())
    }

    /// Packs the repository once it holds many small files or packs. Ends with the server.
    pub(crate) async fn maintain(&self, context: &Context, app: AppId) {
        // A push that is cut off meanwhile must not tidy away what is being packed.
        let _in_use = self.enter(app);
        let mut command = context.git.command(&self.path(app));
        command.args(["gc", "--auto", "--quiet"]);
        let packed = tokio::select! {
            () = context.shutdown.cancelled() => return,
            packed = run(&mut command, "gc", LONG) => packed,
        };
        if let Err(error) = packed {
            tracing::warn!(%app, error = chain(&error), "Could not pack a repository.");
        }
        self.measure(app).await;
    }

    /// Lets a clone without arguments find the branch that was deployed.
    pub(crate) async fn point_head(&self, git: &Git, app: AppId, branch: &str) -> Result<()> {
        let path = self.path(app);
        let head = std::fs::read_to_string(path.join("HEAD")).unwrap_or_default();
        if head.trim_end() == format!("ref: {branch}") {
            return Ok(());
        }
        let mut command = git.command(&path);
        command.args(["symbolic-ref", "HEAD", branch]);
        run(&mut command, "symbolic-ref", SHORT).await.map(|_| ())
    }

    pub(crate) async fn remove(&self, app: AppId) -> Result<()> {
        lock(&self.sizes).remove(&app);
        Ok(remove_tree(&self.path(app)).await?)
    }

    /// Apps that have a repository here.
    pub(crate) fn apps(&self) -> Result<Vec<AppId>> {
        let app = |path: PathBuf| {
            path.file_name()?
                .to_str()?
                .strip_suffix(".git")?
                .parse()
                .ok()
        };
        Ok(list(&self.root)?.into_iter().filter_map(app).collect())
    }

    /// After a crash: removes half made repositories, half received pushes and locks. Returns how many.
    pub(crate) async fn sweep(&self) -> Result<usize> {
        let mut removed = 0;
        for entry in list(&self.root)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(".making-") {
                remove_tree(&entry).await?;
                removed += 1;
            } else if name.ends_with(".git") {
                removed += remove_leftovers(&entry).await?;
            }
        }
        Ok(removed)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut users = lock(&self.users);
        if let Some(count) = users.get_mut(&self.app) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.app);
            }
        }
    }
}

/// Quarantines of pushes, unfinished packs, and locks of refs. Nobody may use the repository meanwhile.
async fn remove_leftovers(repo: &Path) -> Result<usize> {
    let objects = repo.join("objects");
    let mut leftovers = Vec::new();
    for entry in list(&objects)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("tmp_objdir-") || name.starts_with("incoming-") {
            leftovers.push(entry);
        }
    }
    for entry in list(&objects.join("pack"))? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("tmp_") {
            leftovers.push(entry);
        }
    }
    let mut folders = vec![repo.join("refs")];
    while let Some(folder) = folders.pop() {
        for entry in list(&folder)? {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|ext| ext == "lock") {
                leftovers.push(entry);
            }
        }
    }
    for name in ["HEAD.lock", "packed-refs.lock", "config.lock", "gc.pid"] {
        let path = repo.join(name);
        if path.exists() {
            leftovers.push(path);
        }
    }
    for path in &leftovers {
        remove_tree(path).await?;
    }
    Ok(leftovers.len())
}

/// Lengths of all files below a folder of ours.
fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in list(&folder)? {
            // What is gone by now takes no space.
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            match meta.is_dir() {
                true => folders.push(path),
                false => bytes += meta.len(),
            }
        }
    }
    Ok(bytes)
}

/// What a folder of ours holds; one that is not there is empty.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    entries
        .map(|entry| Ok(entry.map_err(Error::io("list", folder))?.path()))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
