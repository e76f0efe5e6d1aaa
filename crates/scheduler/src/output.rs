//! What dynos write, into the app's log: one reader a container, cut into lines.

use jiff::Timestamp;
use ropewalk_engine::{ContainerId, Output, OutputStream};
use ropewalk_logs::Filter;
use ropewalk_model::log_line::{LogSource, MAX_TEXT};
use ropewalk_model::{AppId, DynoId};
use ropewalk_store::StoreError;

use futures_util::StreamExt;

use crate::SchedulerError;
use crate::reconcile::Shared;

/// Starts following a container's output unless it is being followed. After a restart of the server it goes on
/// where the log ends.
pub(crate) async fn follow(
    shared: &Shared,
    id: DynoId,
    container: &ContainerId,
) -> Result<(), SchedulerError> {
    if shared.is_followed(id) {
        return Ok(());
    }
    let (dyno, release) = shared
        .store
        .read(move |view| {
            let dyno = view.dyno(id)?.ok_or(StoreError::NotFound("dyno"))?;
            let release = view.release(dyno.app, dyno.release_version)?;
            Ok((dyno, release))
        })
        .await?;
    if dyno.attached {
        return Ok(());
    }
    let name = dyno.name.to_string();
    let last = Filter {
        lines: Some(1),
        source: Some(LogSource::App),
        process: Some(name.clone()),
    };
    let since = shared
        .logs
        .read(dyno.app, &last)
        .await
        .ok()
        .and_then(|entries| entries.last().map(|entry| entry.at))
        .filter(|at| *at > dyno.created_at)
        .map(|at| (at.as_second(), at.subsec_nanosecond() + 1_000));
    let mut stream = shared.engine.logs(container, since, true).await?;
    // A release command's output is also kept by itself, for those who ask for the release's.
    let mut kept = match dyno.name.process_type.as_str() {
        "release" => shared.outputs.create(release.id.0).ok(),
        _ => None,
    };
    let shared_task = shared.clone();
    let task = async move {
        let mut lines = Lines::default();
        while let Some(Ok(chunk)) = stream.next().await {
            if let Some(kept) = &mut kept {
                kept.write(&chunk.bytes);
            }
            lines.take(&chunk, |at, text| {
                shared_task
                    .logs
                    .append(dyno.app, at, LogSource::App, &name, text);
            });
        }
        lines.finish(|at, text| {
            shared_task
                .logs
                .append(dyno.app, at, LogSource::App, &name, text);
        });
    };
    shared.followed(id, task);
    Ok(())
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
