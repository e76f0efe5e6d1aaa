//! The folder of one build, and what has to go when the build ends in whatever way.
//!
//! ```text
//! builds/<build>/        closed to everybody but the server
//!   upper/ work/         what is written over the base
//!   aside/               an old base
//!   env/                 ENV_DIR, mounted read-only
//!   dyno-home/           mounted at /app, empty: some buildpacks install through the path that dynos will have
//!   login                what a buildpack's address says about who asks, while it is fetched
//!   tmp/ var-tmp/        mounted at /tmp and /var/tmp
//!   above/               what changed since the last slug that is one image
//!   slug.squashfs        packed, not yet published
//!   tree/                mounted at /tmp/build, the build's user owns it
//!     app/ cache/ home/ result/
//! ```
//! Of a push, `tree` is a view of the base; an archive's files are written into it themselves.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_model::BuildId;
use ropewalk_slug::{DYNO_ID, View, remove_tree};

use super::sandbox::Sandbox;
use crate::context::Context;
use crate::error::chain;
use crate::{Error, Result};

/// How often the removal of a folder is tried again, and after which time.
const REMOVALS: usize = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Site {
    context: Arc<Context>,
    pub(crate) id: BuildId,
    pub(crate) folder: PathBuf,
    pub(crate) sandbox: Sandbox,
    /// The build has a row.
    pub(crate) recorded: bool,
    /// Where things are put before the build begins, and what it wrote lies when it has ended.
    pub(crate) ground: PathBuf,
    /// The tree is mounted.
    view: Option<View>,
}

/// What lies in a build's tree before the build begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Files that are written into it.
    Files,
    /// The base, which [`Site::mount`] puts under it.
    View,
}

impl Site {
    /// Creates nothing yet.
    pub(crate) fn new(context: &Arc<Context>, id: BuildId) -> Self {
        let folder = context.options.data.join("builds").join(id.to_string());
        Self {
            context: Arc::clone(context),
            id,
            ground: folder.join("tree"),
            folder,
            sandbox: Sandbox::new(context),
            recorded: false,
            view: None,
        }
    }

    pub(crate) fn open(&mut self, ground: Ground) -> Result<()> {
        if ground == Ground::View {
            self.ground = self.folder.join("upper");
        }
        let mut closed = fs::DirBuilder::new();
        closed.mode(0o700);
        closed
            .create(&self.folder)
            .map_err(Error::io("make", &self.folder))?;
        let tree = &self.ground;
        // `env` is where ENV_DIR will be mounted.
        let folders = [
            self.dyno_home(),
            self.tmp(),
            self.var_tmp(),
            tree.clone(),
            tree.join("home"),
            tree.join("result"),
            tree.join("env"),
        ];
        // A base has the app's folder itself.
        let app = (ground == Ground::Files).then(|| self.app());
        for folder in folders.iter().chain(&app) {
            fs::DirBuilder::new()
                .mode(0o755)
                .create(folder)
                .map_err(Error::io("make", folder))?;
            chown(folder, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("give away", folder))?;
        }
        Ok(())
    }

    /// Puts a base under what has been written, and shows both as the tree.
    pub(crate) async fn mount(&mut self, base: &Path) -> Result<()> {
        self.view = Some(View::open(&[base], &self.folder).await?);
        Ok(())
    }

    /// The tree is not needed any more, only what was written.
    pub(crate) async fn unmount(&mut self) -> Result<()> {
        match self.view.take() {
            Some(view) => Ok(view.close().await?),
            None => Ok(()),
        }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    pub(crate) fn app(&self) -> PathBuf {
        self.folder.join("tree/app")
    }

    pub(crate) fn dyno_home(&self) -> PathBuf {
        self.folder.join("dyno-home")
    }

    pub(crate) fn login(&self) -> PathBuf {
        self.folder.join("login")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    pub(crate) fn var_tmp(&self) -> PathBuf {
        self.folder.join("var-tmp")
    }

    pub(crate) fn env(&self) -> PathBuf {
        self.folder.join("env")
    }

    /// Removes the container, and the folder after it: nobody waits for that, for the next build has another.
    pub(crate) async fn clean_up(self) {
        let Self {
            context,
            id,
            folder,
            mut sandbox,
            view,
            ..
        } = self;
        sandbox.clear().await;
        if let Some(view) = view
            && let Err(error) = view.close().await
        {
            tracing::warn!(build = %id, error = chain(&error), "Could not unmount a build's tree; the next start will.");
        }
        let remove = async move {
            for _ in 0..REMOVALS {
                match remove_tree(&folder).await {
                    Ok(()) => return,
                    // A git or a clone that was cut off may still be writing its last file.
                    Err(_) => tokio::time::sleep(BETWEEN_REMOVALS).await,
                }
            }
            if let Err(error) = remove_tree(&folder).await {
                tracing::warn!(build = %id, error = chain(&error), "Could not remove a build's folder; the next start will.");
            }
        };
        context.tasks.spawn(remove);
    }
}
