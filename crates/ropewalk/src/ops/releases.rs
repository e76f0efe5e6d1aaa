//! The builder's port on releases, filled by the scheduler and the logs.

use std::fmt;

use futures_util::StreamExt;
use jiff::Timestamp;
use ropewalk_builder::{BoxStream, ReleaseEvent, ReleaseOutcome, ReleasePhase, Releases};
use ropewalk_logs::{Filter, Logs};
use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;
use ropewalk_scheduler::{Outcome, Progress, Scheduler};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines of a failed dyno that whoever pushed is shown.
const TAIL: usize = 20;

pub(crate) struct Deploys {
    pub(crate) scheduler: Scheduler,
    pub(crate) logs: Logs,
}

impl fmt::Debug for Deploys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deploys")
    }
}

impl Releases for Deploys {
    fn expect(&self, app: AppId) {
        self.scheduler.expect(app);
    }

    fn changed(&self) {
        self.scheduler.changed();
    }

    fn follow(&self, app: AppId, version: u32) -> BoxStream<ReleaseEvent> {
        let (events, mut received) = mpsc::channel(64);
        let follower = Follower {
            scheduler: self.scheduler.clone(),
            logs: self.logs.clone(),
            app,
            events,
            began: Timestamp::now(),
        };
        tokio::spawn(follower.run(version));
        Box::pin(futures_util::stream::poll_fn(move |cx| {
            received.poll_recv(cx)
        }))
    }
}

struct Follower {
    scheduler: Scheduler,
    logs: Logs,
    app: AppId,
    events: mpsc::Sender<ReleaseEvent>,
    began: Timestamp,
}

impl Follower {
    async fn run(self, version: u32) {
        let mut progress = self.scheduler.follow(self.app, version);
        let output_done = CancellationToken::new();
        let mut output = None;
        while let Some(at) = progress.recv().await {
            let sent = match at {
                Progress::Command => {
                    output.get_or_insert_with(|| self.pass_output_on(version, output_done.clone()));
                    self.send(ReleaseEvent::Phase(ReleasePhase::Command)).await
                }
                Progress::Boot => self.send(ReleaseEvent::Phase(ReleasePhase::Boot)).await,
                Progress::Route => self.send(ReleaseEvent::Phase(ReleasePhase::Route)).await,
                Progress::Done(outcome) => {
                    output_done.cancel();
                    // A command that was quick was never seen running, but it has written.
                    if output.is_none() && self.has_output(version).await {
                        output = Some(self.pass_output_on(version, output_done.clone()));
                    }
                    if let Some(output) = output.take() {
                        let _ = output.await;
                    }
                    let outcome = self.outcome(outcome).await;
                    self.send(ReleaseEvent::Done(outcome)).await
                }
            };
            if !sent {
                return;
            }
        }
    }

    async fn send(&self, event: ReleaseEvent) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// What the release command prints, to whoever pushed.
    fn pass_output_on(&self, version: u32, done: CancellationToken) -> tokio::task::JoinHandle<()> {
        let (logs, app, events, began) =
            (self.logs.clone(), self.app, self.events.clone(), self.began);
        tokio::spawn(async move {
            let filter = output_of(version, None);
            let Ok(lines) = logs.follow(app, filter, None).await else {
                return;
            };
            let mut lines = Box::pin(lines.into_stream());
            loop {
                let line = tokio::select! {
                    line = lines.next() => line,
                    () = done.cancelled() => {
                        // What is there already still counts.
                        match tokio::time::timeout(std::time::Duration::from_millis(200), lines.next()).await {
                            Ok(line) => line,
                            Err(_) => return,
                        }
                    }
                };
                let Some(line) = line else { return };
                let text = format!("{}\n", line.text);
                if line.at >= began
                    && events
                        .send(ReleaseEvent::Output(text.into()))
                        .await
                        .is_err()
                {
                    return;
                }
            }
        })
    }

    async fn has_output(&self, version: u32) -> bool {
        let entries = self.logs.read(self.app, &output_of(version, Some(1))).await;
        entries.is_ok_and(|entries| !entries.is_empty())
    }

    async fn outcome(&self, outcome: Outcome) -> ReleaseOutcome {
        match outcome {
            Outcome::Succeeded => ReleaseOutcome::Succeeded,
            Outcome::Superseded { by } => ReleaseOutcome::Superseded { by },
            Outcome::Gone => ReleaseOutcome::Failed {
                reason: "the app was deleted".to_owned(),
                log_tail: Vec::new(),
            },
            Outcome::Failed { reason, process } => {
                let log_tail = match process {
                    // Its output was shown as it came.
                    Some(process) if process.starts_with("release.") => Vec::new(),
                    Some(process) => self.tail(process).await,
                    None => Vec::new(),
                };
                ReleaseOutcome::Failed { reason, log_tail }
            }
        }
    }

    async fn tail(&self, process: String) -> Vec<String> {
        let filter = Filter {
            lines: Some(TAIL),
            source: Some(LogSource::App),
            process: Some(process),
        };
        let entries = self.logs.read(self.app, &filter).await.unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry.at >= self.began)
            .map(|entry| entry.text.to_string())
            .collect()
    }
}

/// The lines that a release's command wrote.
fn output_of(version: u32, lines: Option<usize>) -> Filter {
    Filter {
        lines,
        source: Some(LogSource::App),
        process: Some(format!("release.{version}")),
    }
}
