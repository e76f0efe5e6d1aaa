//! A container's output as the engine has stored it, read from a time on and followed to the end.
//!
//! Docker Engine 20.10 sometimes ends a followed log before its last messages, which are those that tell why a dyno
//! crashed, and repeats some when it begins a new file. So when the stream ends the end of the log is read once more,
//! and every message is handed on once.

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{InspectContainerOptions, WaitContainerOptionsBuilder};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::failure::Call;
use super::frames::Form;
use super::seen::Seen;
use super::{DockerEngine, stream as raw};
use crate::container::{ContainerId, Output};
use crate::{BoxStream, EngineError, Result};

/// The log closes a moment before the engine says that the container has ended.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

impl DockerEngine {
    pub(super) async fn read_logs(
        &self,
        id: &ContainerId,
        since: Option<(i64, i32)>,
        follow: bool,
    ) -> Result<BoxStream<Result<Output>>> {
        let log = Log::find(self, id).await?;
        let since = since.and_then(|(second, nanosecond)| Timestamp::new(second, nanosecond).ok());
        let output = log.read(since, follow).await?;
        if !follow {
            return Ok(output);
        }
        let following = Following {
            log,
            since,
            output,
            seen: Seen::default(),
            stage: Stage::Live,
        };
        Ok(Box::pin(stream::unfold(following, |mut state| async {
            let output = state.next().await?;
            Some((output, state))
        })))
    }
}

/// The log of one container.
struct Log {
    socket: PathBuf,
    docker: Docker,
    id: ContainerId,
    form: Form,
}

impl Log {
    async fn find(engine: &DockerEngine, id: &ContainerId) -> Result<Self> {
        let call = Call::new("inspect", "container", &id.0, 10);
        call.checked()?;
        let docker = engine.client()?.clone();
        let request = docker.inspect_container(&id.0, None::<InspectContainerOptions>);
        let answer = call.answer(request).await?;
        let tty = answer.config.and_then(|config| config.tty).unwrap_or(false);
        Ok(Self {
            socket: engine.socket.clone(),
            docker,
            id: id.clone(),
            form: if tty { Form::Lines } else { Form::Framed },
        })
    }

    async fn read(
        &self,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<Result<Output>>> {
        let call = Call::new("read the log of", "container", &self.id.0, 10);
        let mut path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&timestamps=1&follow={}",
            self.id,
            u8::from(follow)
        );
        if let Some(since) = since {
            let (second, nanosecond) = (since.as_second(), since.subsec_nanosecond());
            path.push_str(&format!("&since={second}.{nanosecond:09}"));
        }
        raw::logs(&self.socket, call, &path, since, self.form).await
    }

    /// Whether the container has ended; `false` when it is gone altogether.
    async fn ended(&self) -> Result<bool> {
        let call = Call::new("wait for", "container", &self.id.0, 10);
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let mut answers = self
            .docker
            .wait_container(&self.id.0, Some(options))
            .boxed();
        match tokio::time::timeout(ENDED_WITHIN, answers.next()).await {
            Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) => Ok(true),
            Ok(Some(Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }))) => Ok(false),
            Ok(Some(Err(error))) => Err(call.failed(error)),
            Ok(None) | Err(_) => Err(EngineError::Unreachable(format!(
                "the log of {} ended, the container did not",
                self.id
            ))),
        }
    }
}

/// A log that is followed to its real end.
struct Following {
    log: Log,
    since: Option<Timestamp>,
    output: BoxStream<Result<Output>>,
    seen: Seen,
    stage: Stage,
}

#[derive(PartialEq)]
enum Stage {
    Live,
    End,
    Over,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Output>> {
        while self.stage != Stage::Over {
            match self.output.next().await {
                Some(Ok(output)) => {
                    if self.seen.admits(&output) {
                        return Some(Ok(output));
                    }
                }
                Some(Err(error)) => {
                    self.stage = Stage::Over;
                    return Some(Err(error));
                }
                None => {
                    if let Err(error) = self.turn().await {
                        self.stage = Stage::Over;
                        return Some(Err(error));
                    }
                }
            }
        }
        None
    }

    /// From the followed stream to the end of the log, and from there to nothing.
    async fn turn(&mut self) -> Result<()> {
        if self.stage == Stage::Live && self.log.ended().await? {
            let since = match self.seen.again() {
                Some(nanosecond) => Timestamp::from_nanosecond(nanosecond.into()).ok(),
                None => self.since,
            };
            self.output = self.log.read(since, false).await?;
            self.stage = Stage::End;
        } else {
            self.stage = Stage::Over;
        }
        Ok(())
    }
}
