//! `/sources`, `/apps/:app/slugs`, and the archives behind their addresses.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{Method, header};
use reqwest::{Body, Response};
use ropewalk_api_types::Slug;
use ropewalk_api_types::slug::SlugCreate;
use ropewalk_api_types::source::Source;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::request::refusal_of;

/// Longest time for sending one archive; the server has its own, shorter ones.
const SENT_WITHIN: Duration = Duration::from_secs(3600);
/// An archive may have to be made before its first byte; a connection this silent is dead.
const SILENT_FOR: Duration = Duration::from_secs(300);

/// An archive that is being read.
#[derive(Debug)]
pub struct Download {
    response: Response,
}

impl Client {
    /// A place for a source archive.
    pub async fn create_source(&self) -> Result<Source> {
        self.json(self.request(Method::POST, &["sources"])?).await
    }

    /// By id.
    pub async fn slug(&self, app: &str, slug: &str) -> Result<Slug> {
        self.get(&["apps", app, "slugs", slug]).await
    }

    /// Announces a slug; its archive is to be sent to its blob's address next.
    pub async fn create_slug(&self, app: &str, slug: &SlugCreate) -> Result<Slug> {
        self.send(Method::POST, &["apps", app, "slugs"], slug).await
    }

    /// Sends an archive of `length` bytes. The address authorises by itself, so the token is not sent.
    pub async fn put_archive<S>(&self, url: &str, length: u64, archive: S) -> Result<()>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let sent = self
            .http
            .put(url)
            .header(header::CONTENT_LENGTH, length)
            .timeout(SENT_WITHIN)
            .body(Body::wrap_stream(archive))
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        match sent.status().is_success() {
            true => Ok(()),
            false => Err(refusal_of(sent).await),
        }
    }

    /// Opens an archive's address. The address authorises by itself, so the token is not sent.
    pub async fn archive(&self, url: &str) -> Result<Download> {
        let asked = tokio::time::timeout(SILENT_FOR, self.http.get(url).send());
        let response = match asked.await {
            Ok(response) => response.map_err(|error| self.unreachable(error))?,
            Err(_) => return Err(Error::StreamSilent { what: "archive" }),
        };
        match response.status().is_success() {
            true => Ok(Download { response }),
            false => Err(Error::StreamRefused {
                what: "archive",
                status: response.status().as_u16(),
            }),
        }
    }
}

impl Download {
    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match tokio::time::timeout(SILENT_FOR, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|source| Error::Stream {
                what: "archive",
                source,
            }),
            Err(_) => Err(Error::StreamSilent { what: "archive" }),
        }
    }
}
