//! What dynos write, into the app's log: one reader a dyno, cut into lines.
//!
//! A reader outlives its connection: when the engine goes away and comes back, it goes on where it was. It ends when
//! the container has ended and the last of its output is read, or when there is no container any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use ropewalk_engine::{ContainerId, EngineError, Output, OutputStream};
use ropewalk_logs::{Filter, OutputWriter};
use ropewalk_model::log_line::{LogSource, MAX_TEXT};
use ropewalk_model::{AppId, DynoId, ProcessType};
use ropewalk_store::{Dyno, Release, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::SchedulerError;
use crate::reconcile::Shared;

/// Between two tries to read on.
const RETRY: Duration = Duration::from_secs(1);
/// For the last lines of a container that has ended.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Times in the log are as fine as this.
const MICROSECOND: SignedDuration = SignedDuration::from_micros(1);

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The dyno was started just now.
    Beginning,
    /// An earlier run of the server may have read some of it.
    Resume,
}

/// The readers of all dynos.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<HashMap<DynoId, Reader>>);

#[derive(Debug)]
struct Reader {
    task: JoinHandle<()>,
    /// True once all was read; closed without that when the reader broke.
    done: watch::Receiver<bool>,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<DynoId, Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a moment for the last lines of a container that has ended.
    pub(crate) async fn ended(&self, id: DynoId) {
        let done = self.lock().get(&id).map(|reader| reader.done.clone());
        if let Some(mut done) = done {
            let _ = tokio::time::timeout(LAST_LINES, done.wait_for(|done| *done)).await;
        }
    }

    /// The same, then lets the reader go.
    pub(crate) async fn end(&self, id: DynoId) {
        self.ended(id).await;
        if let Some(reader) = self.lock().remove(&id) {
            reader.task.abort();
        }
    }

    /// Ends them all: what they have read is in the log, and the next run of the server goes on from there.
    pub(crate) async fn end_all(&self) {
        let readers: Vec<Reader> = self.lock().drain().map(|(_, reader)| reader).collect();
        for reader in readers {
            reader.task.abort();
            let _ = reader.task.await;
        }
    }

    /// Forgets the readers of dynos that are no more.
    pub(crate) fn keep(&self, dynos: &BTreeSet<DynoId>) {
        self.lock()
            .retain(|id, reader| dynos.contains(id) || !reader.task.is_finished());
    }
}

/// Has a container's output read unless it is being read, or was to its end.
pub(crate) fn follow(shared: &Shared, id: DynoId, container: &ContainerId, start: Start) {
    let mut readers = shared.readers.lock();
    let is_followed = readers
        .get(&id)
        .is_some_and(|reader| !reader.task.is_finished() || *reader.done.borrow());
    if is_followed {
        return;
    }
    let (ended, done) = watch::channel(false);
    let (task, container) = (shared.clone(), container.clone());
    let task = shared.spawn(async move {
        match Reading::new(&task, id, start).await {
            Ok(Some(reading)) => reading.pass_all_on(&task, &container).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(dyno = %id, %error, "A dyno's output is not read yet.");
                tokio::time::sleep(RETRY).await;
                return;
            }
        }
        ended.send_replace(true);
    });
    readers.insert(id, Reader { task, done });
}

/// One dyno's output on its way.
struct Reading {
    dyno: Dyno,
    name: String,
    lines: Lines,
    /// From where on the engine is asked; `None` is all.
    since: Option<Timestamp>,
    /// What is older is in the log already.
    logged: Option<Timestamp>,
    /// A release command's output is also kept by itself, for those who ask for the release's.
    kept: Option<OutputWriter>,
}

impl Reading {
    /// `None` for a dyno whose output goes to a terminal.
    async fn new(
        shared: &Shared,
        id: DynoId,
        start: Start,
    ) -> Result<Option<Self>, SchedulerError> {
        let (dyno, release, has_elder) = shared.store.read(move |view| rows(view, id)).await?;
        if dyno.attached {
            return Ok(None);
        }
        let logged = match start {
            Start::Beginning => None,
            // Lines carry the name and not the dyno: those of one that is being replaced look the same.
            Start::Resume if has_elder => None,
            Start::Resume => logged_until(shared, &dyno).await,
        };
        let kept = match dyno.name.process_type == ProcessType::release() {
            true => shared.outputs.create(release.id.0).ok(),
            false => None,
        };
        Ok(Some(Self {
            name: dyno.name.to_string(),
            lines: Lines::default(),
            // What is kept is kept whole.
            since: logged.filter(|_| kept.is_none()),
            logged,
            kept,
            dyno,
        }))
    }

    async fn pass_all_on(mut self, shared: &Shared, container: &ContainerId) {
        let mut said = false;
        loop {
            match self.read(shared, container).await {
                Ok(()) | Err(EngineError::NotFound { .. }) => break,
                Err(error) if said => {
                    tracing::debug!(dyno = %self.dyno.id, %error, "A dyno's output cannot be read.");
                }
                Err(error) => {
                    tracing::info!(dyno = %self.dyno.id, %error, "A dyno's output will be read on.");
                    said = true;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
        self.pass_on(shared, None);
    }

    async fn read(&mut self, shared: &Shared, container: &ContainerId) -> Result<(), EngineError> {
        let since = self
            .since
            .map(|at| (at.as_second(), at.subsec_nanosecond()));
        let mut stream = shared.engine.logs(container, since, true).await?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if let Some(at) = chunk.at {
                self.since = at.checked_add(SignedDuration::from_nanos(1)).ok();
            }
            if let Some(kept) = &mut self.kept {
                kept.write(&chunk.bytes);
            }
            self.pass_on(shared, Some(&chunk));
        }
        Ok(())
    }

    /// Writes the lines that a chunk completes, or what is left at the end.
    fn pass_on(&mut self, shared: &Shared, chunk: Option<&Output>) {
        let (app, name, logged) = (self.dyno.app, &self.name, self.logged);
        let write = |at: Timestamp, text: &[u8]| {
            if logged.is_none_or(|logged| at >= logged) {
                shared.logs.append(app, at, LogSource::App, name, text);
            }
        };
        match chunk {
            Some(chunk) => self.lines.take(chunk, write),
            None => self.lines.finish(write),
        }
    }
}

/// A dyno, its release, and whether an older one of its name is still there.
fn rows(view: &ropewalk_store::View<'_>, id: DynoId) -> Result<(Dyno, Release, bool), StoreError> {
    let dyno = view.dyno(id)?.ok_or(StoreError::NotFound("dyno"))?;
    let release = view.release(dyno.app, dyno.release_version)?;
    let has_elder = view.dynos(dyno.app)?.iter().any(|other| {
        other.name == dyno.name && other.id != id && other.created_at < dyno.created_at
    });
    Ok((dyno, release, has_elder))
}

/// Up to when a dyno's output is in the log.
async fn logged_until(shared: &Shared, dyno: &Dyno) -> Option<Timestamp> {
    let last = Filter {
        lines: Some(1),
        source: Some(LogSource::App),
        process: Some(dyno.name.to_string()),
    };
    let entries = shared.logs.read(dyno.app, &last).await.ok()?;
    let at = entries.last()?.at;
    (at > dyno.created_at)
        .then(|| at.checked_add(MICROSECOND).ok())
        .flatten()
}

/// Writes a line of the platform about a dyno.
pub(crate) fn say(shared: &Shared, app: AppId, process: &str, text: &str) {
    shared.logs.append(
        app,
        Timestamp::now(),
        LogSource::Heroku,
        process,
        text.as_bytes(),
    );
}

/// Chunks to lines, stdout and stderr apart.
#[derive(Debug, Default)]
struct Lines {
    open: [Vec<u8>; 2],
    at: Option<Timestamp>,
}

impl Lines {
    fn take(&mut self, chunk: &Output, mut line: impl FnMut(Timestamp, &[u8])) {
        let at = chunk.at.unwrap_or_else(Timestamp::now);
        self.at = Some(at);
        let open = &mut self.open[usize::from(chunk.stream == OutputStream::Stderr)];
        for byte in chunk.bytes.iter().copied() {
            if byte == b'\n' {
                line(at, open);
                open.clear();
            } else {
                open.push(byte);
                if open.len() >= MAX_TEXT {
                    line(at, open);
                    open.clear();
                }
            }
        }
    }

    fn finish(&mut self, mut line: impl FnMut(Timestamp, &[u8])) {
        let at = self.at.unwrap_or_else(Timestamp::now);
        for open in &mut self.open {
            if !open.is_empty() {
                line(at, open);
                open.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> Output {
        Output {
            stream: OutputStream::Stdout,
            at: None,
            bytes: text.to_owned().into(),
        }
    }

    #[test]
    fn lines_are_put_together_and_long_ones_split() {
        let mut seen: Vec<String> = Vec::new();
        let mut lines = Lines::default();
        let mut keep =
            |_: Timestamp, text: &[u8]| seen.push(String::from_utf8_lossy(text).into_owned());
        lines.take(&chunk("a\nb"), &mut keep);
        lines.take(&chunk("c\n\n"), &mut keep);
        lines.take(&chunk(&"x".repeat(MAX_TEXT + 3)), &mut keep);
        lines.finish(&mut keep);
        assert_eq!(seen[..3], ["a", "bc", ""]);
        assert_eq!((seen[3].len(), seen[4].len(), seen.len()), (MAX_TEXT, 3, 5));
    }
}
