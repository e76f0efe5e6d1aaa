//! Containers that stand ready: started, empty, and waiting to be told which build they are for. Starting one takes the
//! engine longer than a small app takes to build.
//!
//! One is made as soon as a build has begun, beside the checkout. After a build another one waits for the next, for a
//! few minutes, so that who pushes again does not wait; then it goes, and a host on which nothing is built has none.
//! Nothing of an app is ever in one that waits, and none serves twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ropewalk_engine::waiting::{self, Blank};
use ropewalk_engine::{EngineError, NetworkSpec};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::sandbox;
use crate::context::Context;

/// Between a build's end and what is done for the next.
const REST: Duration = Duration::from_secs(2);

/// One that is being made, or was.
pub(crate) type Making = JoinHandle<Result<Blank, EngineError>>;

/// The ones that wait for a build: one at most of each image.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    image: String,
    number: Uuid,
    until: Instant,
    making: Making,
}

impl Ready {
    fn all(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, number: Uuid) -> Option<Instant> {
        let kept = self.all();
        let one = kept.iter().find(|one| one.number == number)?;
        Some(one.until)
    }

    fn take(&self, which: impl Fn(&Kept) -> bool) -> Option<Making> {
        let mut kept = self.all();
        let index = kept.iter().position(which)?;
        Some(kept.swap_remove(index).making)
    }
}

/// Makes a container of a build image, in a task of its own: one that nobody waits for any more is removed by whoever
/// has the task.
pub(crate) fn make(context: &Arc<Context>, image: &str) -> Making {
    let number: String = Uuid::new_v4().simple().to_string();
    let name = format!("rw-{}-ready-{}", context.options.instance, &number[..12]);
    let spec = sandbox::blank(context, image, name);
    let context = Arc::clone(context);
    let tasks = context.tasks.clone();
    tasks.spawn(async move {
        let engine = &context.engine;
        if let Some(name) = spec.network.clone() {
            engine
                .ensure_network(&NetworkSpec { name, subnet: None })
                .await?;
        }
        waiting::start(engine.as_ref(), &spec).await
    })
}

/// The one that waits for a build of this image, if there is one.
pub(crate) fn take(context: &Context, image: &str) -> Option<Making> {
    context.ready.take(|one| one.image == image)
}

/// Waits for what a release's dynos do first: they start, and requests wait for them. What is done for the next build
/// must not take the processors from that. Over at once when the server stops.
pub(crate) async fn rest(context: &Context) {
    tokio::select! {
        () = tokio::time::sleep(REST) => {}
        () = context.shutdown.cancelled() => {}
    }
}

/// From now on, and for as long as the options say, one waits for a build of this image.
pub(crate) fn keep(context: &Arc<Context>, image: &str) {
    let long = context.options.limits.ready;
    if long.is_zero() || context.shutdown.is_cancelled() {
        return;
    }
    let until = Instant::now() + long;
    let mut all = context.ready.all();
    if let Some(kept) = all.iter_mut().find(|one| one.image == image) {
        kept.until = until;
        return;
    }
    let number = Uuid::new_v4();
    all.push(Kept {
        image: image.to_owned(),
        number,
        until,
        making: make(context, image),
    });
    context.tasks.spawn(expire(Arc::clone(context), number));
}

/// Removes the one of this number when its time is over and no build took it, or the server stops.
async fn expire(context: Arc<Context>, number: Uuid) {
    while let Some(until) = context
        .ready
        .until(number)
        .filter(|until| *until > Instant::now())
    {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = context.shutdown.cancelled() => break,
        }
    }
    let Some(making) = context.ready.take(|one| one.number == number) else {
        return;
    };
    if let Ok(Ok(blank)) = making.await {
        sandbox::remove(&context, &blank.id).await;
    }
}
