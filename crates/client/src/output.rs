//! The output of a build or of a release command: plain text, live, to its end.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, StatusCode};

use crate::client::Client;
use crate::error::{Error, Result};

/// A build may be silent for long; a connection this silent is dead.
const SILENT_FOR: Duration = Duration::from_secs(3600);

/// An output that is being read.
#[derive(Debug)]
pub struct Output {
    response: Response,
}

impl Client {
    /// Opens an `output_stream_url`. `None`: the output has not begun yet, ask again.
    ///
    /// The address authorises by itself, so the token is not sent.
    pub async fn output(&self, url: &str) -> Result<Option<Output>> {
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(Output { response })),
            status => Err(Error::StreamRefused {
                what: "output",
                status: status.as_u16(),
            }),
        }
    }
}

impl Output {
    /// The next bytes; `None` at the end. Not necessarily whole lines or characters.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(SILENT_FOR, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|source| Error::Stream {
                what: "output",
                source,
            }),
            Err(_) => Err(Error::StreamSilent { what: "output" }),
        }
    }
}
