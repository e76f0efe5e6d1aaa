//! A container's output as the engine has stored it, read from a time on and followed to the end.
//!
//! Docker Engine 20.10 sometimes ends a followed log before its last messages, which are those that tell why a dyno
//! crashed. So when the stream ends, the end of the log is read once more and what had not come is handed on.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{InspectContainerOptions, WaitContainerOptionsBuilder};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::failure::Call;
use super::frames::Form;
use super::{DockerEngine, stream as raw};
use crate::container::{ContainerId, Output, OutputStream};
use crate::{BoxStream, EngineError, Result};

/// Messages remembered to tell what the end of the log adds. The times of stdout and stderr cross by fewer than this.
const REMEMBERED: usize = 512;

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
            recent: Recent::default(),
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
    recent: Recent,
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
                    let seen = self.stage == Stage::End && self.recent.forget(&output);
                    if !seen {
                        if self.stage == Stage::Live {
                            self.recent.remember(&output);
                        }
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
            let since = self.recent.earliest().or(self.since);
            self.output = self.log.read(since, false).await?;
            self.stage = Stage::End;
        } else {
            self.stage = Stage::Over;
        }
        Ok(())
    }
}

/// The latest messages, by when and where they came: their text is not needed.
#[derive(Default)]
struct Recent(VecDeque<(Timestamp, OutputStream)>);

impl Recent {
    fn remember(&mut self, output: &Output) {
        if let Some(at) = output.at {
            if self.0.len() == REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back((at, output.stream));
        }
    }

    /// Whether the message was remembered; each remembered one counts once, for pieces of a long line share one time.
    fn forget(&mut self, output: &Output) -> bool {
        let place = self
            .0
            .iter()
            .position(|(at, stream)| output.at == Some(*at) && output.stream == *stream);
        place.is_some_and(|place| self.0.remove(place).is_some())
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.0.iter().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn output(second: i64) -> Output {
        Output {
            stream: OutputStream::Stdout,
            at: Timestamp::new(second, 0).ok(),
            bytes: Bytes::new(),
        }
    }

    #[test]
    fn each_remembered_message_counts_once() {
        let mut recent = Recent::default();
        recent.remember(&output(5));
        recent.remember(&output(5));
        recent.remember(&output(4));
        assert_eq!(recent.earliest(), Timestamp::new(4, 0).ok());
        assert!(recent.forget(&output(5)));
        assert!(recent.forget(&output(5)));
        assert!(!recent.forget(&output(5)));
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut recent = Recent::default();
        for second in 0..1000 {
            recent.remember(&output(second));
        }
        assert_eq!(
            recent.earliest(),
            Timestamp::new(1000 - REMEMBERED as i64, 0).ok()
        );
    }
}
