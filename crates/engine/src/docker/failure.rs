//! What Docker Engine's refusals and silences mean to us, and the deadline that every call runs under.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use crate::{EngineError, Result};

/// One call: which verb, on what, and how long it may take.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) verb: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
    pub(super) deadline: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn new(verb: &'static str, kind: &'static str, name: &'a str, seconds: u64) -> Self {
        Self {
            verb,
            kind,
            name,
            deadline: Duration::from_secs(seconds),
        }
    }

    /// Refuses names that could change the path they become part of: they are the names of nothing.
    pub(super) fn checked(self) -> Result<()> {
        let fits = !self.name.is_empty()
            && !self.name.starts_with('.')
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if fits {
            return Ok(());
        }
        Err(EngineError::NotFound {
            kind: self.kind,
            name: self.name.to_owned(),
        })
    }

    /// The answer of `request`, or why there is none.
    pub(super) async fn answer<T>(
        self,
        request: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        self.within(async { request.await.map_err(|error| self.failed(error)) })
            .await
    }

    /// The result of `work` unless the deadline passes first.
    pub(super) async fn within<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(EngineError::Timeout {
                verb: self.verb,
                seconds: self.deadline.as_secs(),
            }),
        }
    }

    pub(super) fn failed(self, error: Error) -> EngineError {
        match error {
            Error::DockerResponseServerError {
                status_code,
                message,
            } => self.status(status_code, message),
            Error::DockerStreamError { error } => self.refused(error),
            Error::RequestTimeoutError => EngineError::Timeout {
                verb: self.verb,
                seconds: self.deadline.as_secs(),
            },
            error @ (Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::IOError { .. }
            | Error::SocketNotFoundError(_)) => EngineError::Unreachable(chain(&error)),
            error => self.refused(chain(&error)),
        }
    }

    /// An answer that is not a success.
    pub(super) fn status(self, status: u16, message: String) -> EngineError {
        match status {
            404 => EngineError::NotFound {
                kind: self.kind,
                name: self.name.to_owned(),
            },
            409 if self.verb == "create" => EngineError::Conflict {
                name: self.name.to_owned(),
            },
            _ => self.refused(message),
        }
    }

    pub(super) fn refused(self, message: impl Into<String>) -> EngineError {
        EngineError::Refused {
            verb: self.verb,
            name: self.name.to_owned(),
            message: message.into(),
        }
    }
}

/// An error and its causes in one line: hyper says only "client error (Connect)" itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
