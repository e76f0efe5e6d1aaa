//! Lines on their way over HTTP: one request, and what its answer means.

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use ropewalk_logs::Entry;
use ropewalk_store::LogDrain;
use uuid::Uuid;

use crate::format::{HTTP_HOST, write_frame};

const USER_AGENT: &str = concat!("Ropewalk/", env!("CARGO_PKG_VERSION"));

/// Lines that are posted together, under an id by which a target knows them again.
pub(crate) struct Batch {
    pub(crate) lines: u64,
    body: Bytes,
    frame_id: Uuid,
}

/// What an answer's status means for a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// It may help to ask again.
    Later,
    Never,
}

impl Verdict {
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Taken,
            408 | 425 | 429 | 500..=599 => Self::Later,
            _ => Self::Never,
        }
    }
}

impl Batch {
    pub(crate) fn new(entries: &[Arc<Entry>]) -> Self {
        let mut body = Vec::new();
        for entry in entries {
            write_frame(&mut body, HTTP_HOST, entry);
        }
        Self {
            lines: entries.len() as u64,
            body: body.into(),
            frame_id: Uuid::new_v4(),
        }
    }

    pub(crate) fn request(&self, drain: &LogDrain) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(drain.url.path())
            .header(header::HOST, drain.url.authority())
            .header(header::CONTENT_TYPE, "application/logplex-1")
            .header(header::USER_AGENT, USER_AGENT)
            .header("logplex-msg-count", self.lines)
            .header("logplex-frame-id", self.frame_id.to_string())
            .header("logplex-drain-token", &drain.token)
            .body(Full::new(self.body.clone()))?;
        if let Some((user, password)) = drain.url.credentials() {
            let pair =
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            let mut value = HeaderValue::from_str(&format!("Basic {pair}"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_is_asked_again() {
        for (status, verdict) in [
            (200, Verdict::Taken),
            (204, Verdict::Taken),
            (302, Verdict::Never),
            (401, Verdict::Never),
            (404, Verdict::Never),
            (429, Verdict::Later),
            (500, Verdict::Later),
            (503, Verdict::Later),
        ] {
            assert_eq!(Verdict::of(status), verdict, "{status}");
        }
    }
}
