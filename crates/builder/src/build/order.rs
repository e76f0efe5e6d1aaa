//! What is to be built, for whom: what was pushed, or a source archive. Both go the same way from here on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ropewalk_model::{AppId, UserId};
use ropewalk_store::{App, BuildSource, User};

use super::archive::Archive;
use crate::git::push::Push;
use crate::git::refs::Deploy;

/// Longest version that a release's description names whole, in characters.
const MAX_VERSION: usize = 40;

/// A source archive to be built and released.
#[derive(Debug, Clone)]
pub struct ArchiveOrder {
    pub app: AppId,
    pub user: UserId,
    pub archive: Archive,
    /// For this build only, in place of the app's own and of `BUILDPACK_URL`; empty means those.
    pub buildpacks: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) app: App,
    pub(crate) user: User,
    pub(crate) began: Instant,
    /// A release was made: it stands whatever becomes of whoever waits for it.
    pub(crate) settled: Arc<AtomicBool>,
    pub(crate) source: Source,
    pub(crate) buildpacks: Vec<String>,
    pub(crate) purpose: Purpose,
    /// Whose build cache it begins with and leaves: the app's own, or that of its pipeline's tests, which has the
    /// pipeline's id.
    pub(crate) cache: AppId,
}

/// What the slug is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be released.
    Deploy,
    /// To be tested: the buildpacks put in what tests need.
    Test,
}

#[derive(Debug)]
pub(crate) enum Source {
    Push {
        deploy: Deploy,
        /// Where git keeps the new objects.
        quarantine: Option<PathBuf>,
    },
    Archive(Archive),
}

impl Order {
    pub(crate) fn of_push(push: &Push, deploy: Deploy, quarantine: Option<PathBuf>) -> Self {
        Self {
            app: push.app.clone(),
            user: push.user.clone(),
            began: push.began,
            settled: Arc::clone(&push.settled),
            source: Source::Push { deploy, quarantine },
            buildpacks: Vec::new(),
            purpose: Purpose::Deploy,
            cache: push.app.id,
        }
    }

    pub(crate) fn of_archive(app: App, user: User, order: ArchiveOrder) -> Self {
        Self {
            cache: app.id,
            app,
            user,
            began: Instant::now(),
            settled: Arc::default(),
            source: Source::Archive(order.archive),
            buildpacks: order.buildpacks,
            purpose: Purpose::Deploy,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    pub(crate) fn is_push(&self) -> bool {
        matches!(self.source, Source::Push { .. })
    }

    /// The commit, or what the sender of an archive calls it.
    pub(crate) fn version(&self) -> Option<&str> {
        match &self.source {
            Source::Push { deploy, .. } => Some(&deploy.commit),
            Source::Archive(archive) => archive.version.as_deref(),
        }
    }

    /// `Deploy 1a2b3c4d`
    pub(crate) fn description(&self) -> String {
        let Some(version) = self.version() else {
            return "Deploy".to_owned();
        };
        let is_commit = version.len() >= 40 && version.bytes().all(|b| b.is_ascii_hexdigit());
        let most = if is_commit { 8 } else { MAX_VERSION };
        format!("Deploy {}", version.chars().take(most).collect::<String>())
    }

    /// For the build's row; `None` for a push.
    pub(crate) fn build_source(&self) -> Option<BuildSource> {
        match &self.source {
            Source::Push { .. } => None,
            Source::Archive(archive) => Some(BuildSource {
                url: archive.shown(),
                checksum: archive
                    .checksum
                    .map(|digest| format!("SHA256:{}", digest.hex())),
                description: archive.description.clone(),
            }),
        }
    }
}
