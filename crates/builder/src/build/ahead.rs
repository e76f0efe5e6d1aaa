//! Clones of build caches that are made before the build that gets them: after a build, for who pushed once often pushes
//! again, and thousands of links take a moment.
//!
//! A clone is of the cache as it was when its making began: whatever changes the cache takes the clone away first, and
//! one that is still being made then is thrown away when it is there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ropewalk_model::AppId;
use ropewalk_slug::remove_tree;
use uuid::Uuid;

use super::cache::{self, Lent};
use crate::context::Context;
use crate::error::chain;

/// By the app whose cache it is of; one at most of each.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<HashMap<AppId, One>>);

#[derive(Debug)]
struct One {
    number: Uuid,
    /// `None` while it is being made.
    clone: Option<PathBuf>,
}

impl Ahead {
    fn all(&self) -> MutexGuard<'_, HashMap<AppId, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, cache: AppId, number: Uuid) -> Option<One> {
        let mut all = self.all();
        match all.get(&cache) {
            Some(one) if one.number == number => all.remove(&cache),
            _ => None,
        }
    }
}

/// Makes one, unless one is there, and removes it when no build came for it for as long as the options say.
pub(crate) async fn make(context: Arc<Context>, cache: AppId) {
    let long = context.options.limits.ready;
    if long.is_zero() || context.shutdown.is_cancelled() {
        return;
    }
    let number = Uuid::new_v4();
    let begun = {
        let mut all = context.ahead.all();
        let free = !all.contains_key(&cache);
        if free {
            let clone = None;
            all.insert(cache, One { number, clone });
        }
        free
    };
    if !begun {
        return;
    }
    let kept = cache::path(&context, cache);
    // The next start removes what has a dot.
    let path = kept.with_file_name(format!(".ahead-{number}"));
    let made = {
        let (path, most) = (path.clone(), cache::Most::of(&context.options.limits));
        tokio::task::spawn_blocking(move || cache::lend(&kept, &path, most)).await
    };
    let useful = matches!(made, Ok(Ok(Lent::Cloned)));
    let is_wanted = useful
        && match context.ahead.all().get_mut(&cache) {
            Some(one) if one.number == number => {
                one.clone = Some(path.clone());
                true
            }
            _ => false,
        };
    if !is_wanted {
        context.ahead.remove(cache, number);
        discard(&path).await;
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(long) => {}
        () = context.shutdown.cancelled() => {}
    }
    if context.ahead.remove(cache, number).is_some() {
        discard(&path).await;
    }
}

/// The clone of this cache, if there is one: the caller's from now on. One that is being made is of no use any more.
pub(crate) fn take(context: &Context, cache: AppId) -> Option<PathBuf> {
    context.ahead.all().remove(&cache)?.clone
}

/// The cache is about to change.
pub(crate) fn forget(context: &Context, cache: AppId) {
    if let Some(path) = take(context, cache) {
        context.tasks.spawn(async move { discard(&path).await });
    }
}

async fn discard(path: &Path) {
    if let Err(error) = remove_tree(path).await {
        tracing::warn!(
            error = chain(&error),
            "Could not remove the clone of a build cache; the next start will."
        );
    }
}
