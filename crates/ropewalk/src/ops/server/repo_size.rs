//! How large apps' git repositories are: measured beside, never while somebody waits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_model::AppId;

/// A measurement older than this is made again when it is asked for.
const FRESH: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct RepoSizes {
    repos: PathBuf,
    known: Arc<Mutex<HashMap<AppId, (u64, Instant)>>>,
}

impl RepoSizes {
    pub(super) fn new(repos: PathBuf) -> Self {
        Self {
            repos,
            known: Arc::default(),
        }
    }

    /// Bytes, as last measured; 0 before that.
    pub(super) fn of(&self, app: AppId) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, at) = known
            .get(&app)
            .copied()
            .map_or((0, None), |(bytes, at)| (bytes, Some(at)));
        if at.is_none_or(|at| at.elapsed() > FRESH) {
            known.insert(app, (bytes, Instant::now()));
            let this = self.clone();
            tokio::task::spawn_blocking(move || {
                let bytes = measure(&this.repos.join(format!("{app}.git")));
                let mut known = this.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(app, (bytes, Instant::now()));
            });
        }
        bytes
    }
}

fn measure(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => measure(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}
