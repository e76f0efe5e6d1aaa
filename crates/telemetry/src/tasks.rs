//! Supervised tasks: every spawn has a name, is counted, and is awaited at shutdown.
//!
//! A supervised task that fails or panics is logged once, here, and started again after a back-off. It must not
//! retry inside.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::rounds::{CURRENT, RoundStatus, Rounds};

/// Completes when the process is asked to end.
pub type Shutdown = CancellationToken;

/// First wait before a task is started again; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A run as long as this makes the next wait short again.
const HEALTHY_RUN: Duration = Duration::from_secs(60);

/// All tasks of a process. Clones share it.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Default)]
struct Inner {
    tracker: TaskTracker,
    shutdown: Shutdown,
    table: Mutex<BTreeMap<&'static str, Entry>>,
}

#[derive(Debug)]
struct Entry {
    status: TaskStatus,
    rounds: Option<Rounds>,
}

/// What became of the tasks of one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStatus {
    pub name: &'static str,
    pub state: TaskState,
    /// How many of this name run now.
    pub running: u32,
    /// Times it was started again after a failure.
    pub restarts: u64,
    pub last_error: Option<String>,
    /// Unix time of that error, in seconds.
    pub last_error_at: Option<u64>,
    /// Of one that comes round again and again.
    pub rounds: Option<RoundStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Running,
    /// Failed; waits to be started again.
    BackingOff,
    /// Ended by itself, or at shutdown.
    Finished,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.0.tracker.len())
            .finish_non_exhaustive()
    }
}

impl Tasks {
    /// Runs what `make` makes until it returns `Ok` or the process ends; on an error or panic it is made again
    /// after a back-off. The task is told to end by the token it is given.
    pub fn supervise<F, R, E>(&self, name: &'static str, mut make: F)
    where
        F: FnMut(Shutdown) -> R + Send + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let tasks = self.clone();
        self.0.tracker.spawn(async move {
            let mut wait = FIRST_WAIT;
            loop {
                let began = Instant::now();
                tasks.started(name);
                let work = CURRENT.scope((tasks.clone(), name), make(tasks.shutdown()));
                let outcome = tokio::spawn(work).await;
                let failure = match outcome {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(error) => Some(panic_text(error)),
                };
                let ending = tasks.0.shutdown.is_cancelled();
                let Some(failure) = failure else {
                    tasks.ended(name, None, false);
                    return;
                };
                tracing::error!(task = name, error = %failure, "Task failed.");
                tasks.ended(name, Some(failure), !ending);
                if began.elapsed() >= HEALTHY_RUN {
                    wait = FIRST_WAIT;
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = tasks.0.shutdown.cancelled() => return,
                }
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        });
    }

    /// Runs `work` once. A panic is logged and noted in the status.
    pub fn spawn<R>(&self, name: &'static str, work: R)
    where
        R: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.0.tracker.spawn(async move {
            tasks.started(name);
            let work = CURRENT.scope((tasks.clone(), name), work);
            let failure = tokio::spawn(work).await.err().map(panic_text);
            if let Some(failure) = &failure {
                tracing::error!(task = name, error = %failure, "Task failed.");
            }
            tasks.ended(name, failure, false);
        });
    }

    /// What completes at shutdown.
    pub fn shutdown(&self) -> Shutdown {
        self.0.shutdown.clone()
    }

    /// By name.
    pub fn status(&self) -> Vec<TaskStatus> {
        let now = Instant::now();
        let status = |entry: &Entry| TaskStatus {
            rounds: entry.rounds.as_ref().map(|rounds| rounds.status(now)),
            ..entry.status.clone()
        };
        self.table().values().map(status).collect()
    }

    /// Tells all tasks to end and waits for them, at most `grace`. `false` when some still run.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.0.shutdown.cancel();
        self.0.tracker.close();
        tokio::time::timeout(grace, self.0.tracker.wait())
            .await
            .is_ok()
    }

    /// Of a task that was started.
    pub(crate) fn note(&self, name: &'static str, note: impl FnOnce(&mut Rounds)) {
        if let Some(entry) = self.table().get_mut(name) {
            note(entry.rounds.get_or_insert_default());
        }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<&'static str, Entry>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, name: &'static str) {
        let mut table = self.table();
        let entry = table.entry(name).or_insert_with(|| Entry {
            status: TaskStatus {
                name,
                state: TaskState::Running,
                running: 0,
                restarts: 0,
                last_error: None,
                last_error_at: None,
                rounds: None,
            },
            rounds: None,
        });
        let status = &mut entry.status;
        if status.state == TaskState::BackingOff {
            status.restarts += 1;
        }
        status.state = TaskState::Running;
        status.running += 1;
    }

    fn ended(&self, name: &'static str, failure: Option<String>, again: bool) {
        let mut table = self.table();
        let Some(Entry { status, .. }) = table.get_mut(name) else {
            return;
        };
        status.running = status.running.saturating_sub(1);
        status.state = match (again, status.running) {
            (true, _) => TaskState::BackingOff,
            (false, 0) => TaskState::Finished,
            (false, _) => TaskState::Running,
        };
        if failure.is_some() {
            status.last_error = failure;
            status.last_error_at = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|since| since.as_secs());
        }
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned());
            format!("panicked: {}", text.as_deref().unwrap_or("(no text)"))
        }
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn until(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < deadline, "waited in vain");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_that_fails_or_panics_is_started_again() {
        let tasks = Tasks::default();
        let runs = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&runs);
        tasks.supervise("flaky", move |shutdown| {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    0 => Err("no such luck".to_owned()),
                    1 => panic!("ouch"),
                    _ => {
                        shutdown.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        until(|| {
            runs.load(Ordering::SeqCst) == 3
                && tasks.status()[0].running == 1
                && tasks.status()[0].restarts == 2
        })
        .await;
        let status = tasks.status().remove(0);
        assert_eq!(status.state, TaskState::Running);
        assert_eq!(status.last_error.as_deref(), Some("panicked: ouch"));
        assert!(tasks.stop(Duration::from_secs(10)).await);
        assert_eq!(tasks.status()[0].state, TaskState::Finished);
    }

    #[tokio::test]
    async fn one_that_does_not_listen_is_not_waited_for_without_end() {
        let tasks = Tasks::default();
        tasks.spawn("deaf", std::future::pending());
        until(|| tasks.status().len() == 1).await;
        assert!(!tasks.stop(Duration::from_millis(20)).await);
        assert_eq!(tasks.status()[0].running, 1);
    }
}
