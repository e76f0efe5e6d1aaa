//! The distribution API, reading half: what `docker pull` and its like need.
//!
//! ```text
//! GET  /v2/                              is this a registry, and may I?
//! HEAD, GET /v2/<name>/manifests/<tag or digest>
//! HEAD, GET /v2/<name>/blobs/<digest>    whole or one range
//! GET  /v2/<name>/tags/list
//! ```
//!
//! Everything that would change something answers 405 `UNSUPPORTED`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use ropewalk_slug::Digest;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::reply::{self, Failure};
use crate::{BlobStore, Manifest, range};

/// Bytes read from the disk at a time.
const CHUNK: usize = 256 * 1024;

/// Why a catalog does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No credentials or wrong ones: the client is asked for them.
    #[error("authentication required")]
    Unauthenticated,
    /// Known, but not allowed. The text is shown to the client.
    #[error("{0}")]
    Denied(String),
    /// The catalog itself failed; the client learns only that.
    #[error("the catalog failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// User name and password as the client sent them.
pub type Credentials = (String, String);

/// Which repositories and tags there are, and who may read them. Implemented over the ledger.
pub trait Catalog: Send + Sync {
    /// Whether these credentials may read the repository; an empty name asks whether they are good at all.
    fn authorise<'a>(
        &'a self,
        repository: &'a str,
        credentials: Option<Credentials>,
    ) -> BoxFuture<'a, Result<(), Refusal>>;

    /// A manifest by tag or by `sha256:…`; `None` when the repository has none of that name.
    fn manifest<'a>(
        &'a self,
        repository: &'a str,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<Manifest>, Refusal>>;

    /// Whether a blob is part of one of the repository's images. Without this, who may read one repository could
    /// read the blobs of all.
    fn has_blob<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<bool, Refusal>>;

    /// All tags in order; `None` when there is no such repository.
    fn tags<'a>(
        &'a self,
        repository: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<String>>, Refusal>>;
}

/// The registry as routes below `/v2/`.
pub fn routes(blobs: Arc<BlobStore>, catalog: Arc<dyn Catalog>) -> Router {
    let registry = Registry { blobs, catalog };
    // Repository names contain slashes, so one handler takes the path apart.
    Router::new()
        .route("/v2/", any(answer))
        .route("/v2/{*rest}", any(answer))
        .route("/v2", any(answer))
        .with_state(registry)
}

#[derive(Clone)]
struct Registry {
    blobs: Arc<BlobStore>,
    catalog: Arc<dyn Catalog>,
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let head = request.method == Method::HEAD;
    let answered = registry.answer(&request).await;
    let mut response = answered.unwrap_or_else(Failure::into_response);
    reply::mark(response.headers_mut());
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

impl Registry {
    async fn answer(&self, request: &Parts) -> Result<Response, Failure> {
        let reads = [Method::GET, Method::HEAD].contains(&request.method);
        let target = target(request.uri.path());
        let repository = match &target {
            Some(Target::Manifest { repository, .. } | Target::Blob { repository, .. }) => {
                repository
            }
            Some(Target::Tags { repository }) => repository,
            Some(Target::Root) | None => "",
        };
        let credentials = reply::credentials(&request.headers);
        self.catalog.authorise(repository, credentials).await?;
        if !reads {
            return Err(Failure::UNSUPPORTED);
        }
        match target {
            None => Err(Failure::NAME_UNKNOWN),
            Some(Target::Root) => Ok(reply::json(&serde_json::json!({}))),
            Some(Target::Tags { repository }) => self.tags(repository).await,
            Some(Target::Manifest {
                repository,
                reference,
            }) => self.manifest(repository, reference).await,
            Some(Target::Blob { repository, digest }) => {
                let digest = digest.parse().map_err(|_| Failure::DIGEST_INVALID)?;
                let head = request.method == Method::HEAD;
                self.blob(repository, &digest, &request.headers, head).await
            }
        }
    }

    async fn tags(&self, repository: &str) -> Result<Response, Failure> {
        let tags = self.catalog.tags(repository).await?;
        let tags = tags.ok_or(Failure::NAME_UNKNOWN)?;
        Ok(reply::json(
            &serde_json::json!({ "name": repository, "tags": tags }),
        ))
    }

    async fn manifest(&self, repository: &str, reference: &str) -> Result<Response, Failure> {
        let manifest = self.catalog.manifest(repository, reference).await?;
        let manifest = manifest.ok_or(Failure::MANIFEST_UNKNOWN)?;
        let response = Response::builder()
            .header(header::CONTENT_TYPE, manifest.media_type)
            .header(header::CONTENT_LENGTH, manifest.bytes.len())
            .header("docker-content-digest", manifest.digest.to_string());
        reply::build(response, Body::from(manifest.bytes))
    }

    async fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        headers: &HeaderMap,
        head: bool,
    ) -> Result<Response, Failure> {
        if !self.catalog.has_blob(repository, digest).await? {
            return Err(Failure::BLOB_UNKNOWN);
        }
        let path = self.blobs.path(digest);
        let opened = tokio::fs::File::open(&path).await;
        let mut file = match opened {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::BLOB_UNKNOWN);
            }
            opened => opened.map_err(Failure::disk)?,
        };
        let size = file.metadata().await.map_err(Failure::disk)?.len();
        let asked = headers
            .get(header::RANGE)
            .and_then(|value| value.to_str().ok());
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::ACCEPT_RANGES, "bytes")
            .header("docker-content-digest", digest.to_string());
        let (response, first, count) = match range::wanted(asked, size) {
            range::Wanted::All => (response, 0, size),
            range::Wanted::Part { first, count } => {
                let last = first + count - 1;
                let said = format!("bytes {first}-{last}/{size}");
                let part = response.status(StatusCode::PARTIAL_CONTENT);
                (part.header(header::CONTENT_RANGE, said), first, count)
            }
            range::Wanted::Outside => {
                let outside = response
                    .status(StatusCode::RANGE_NOT_SATISFIABLE)
                    .header(header::CONTENT_RANGE, format!("bytes */{size}"));
                return reply::build(outside, Body::empty());
            }
        };
        let response = response.header(header::CONTENT_LENGTH, count);
        if head {
            return reply::build(response, Body::empty());
        }
        file.seek(std::io::SeekFrom::Start(first))
            .await
            .map_err(Failure::disk)?;
        let stream = ReaderStream::with_capacity(file.take(count), CHUNK);
        reply::build(response, Body::from_stream(stream))
    }
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Root,
    Tags {
        repository: &'a str,
    },
    Manifest {
        repository: &'a str,
        reference: &'a str,
    },
    Blob {
        repository: &'a str,
        digest: &'a str,
    },
}

fn target(path: &str) -> Option<Target<'_>> {
    let rest = path.strip_prefix("/v2")?;
    if rest.is_empty() || rest == "/" {
        return Some(Target::Root);
    }
    let rest = rest.strip_prefix('/')?;
    let target = if let Some(repository) = rest.strip_suffix("/tags/list") {
        Target::Tags { repository }
    } else if let Some((repository, reference)) = rest.rsplit_once("/manifests/") {
        Target::Manifest {
            repository,
            reference,
        }
    } else {
        let (repository, digest) = rest.rsplit_once("/blobs/")?;
        Target::Blob { repository, digest }
    };
    let (Target::Tags { repository }
    | Target::Manifest { repository, .. }
    | Target::Blob { repository, .. }) = &target
    else {
        return None;
    };
    is_repository(repository).then_some(target)
}

/// Parts of lower-case letters, digits and `.`, `_`, `-`, joined by slashes; at most 255 bytes.
fn is_repository(name: &str) -> bool {
    name.len() <= 255
        && name.split('/').all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_from_the_right() {
        assert_eq!(target("/v2/"), Some(Target::Root));
        let tags = Target::Tags { repository: "a/b" };
        assert_eq!(target("/v2/a/b/tags/list"), Some(tags));
        let manifest = Target::Manifest {
            repository: "a/manifests/b",
            reference: "v1",
        };
        assert_eq!(target("/v2/a/manifests/b/manifests/v1"), Some(manifest));
        for wrong in [
            "/v2/_catalog",
            "/v2/A/tags/list",
            "/v2/../blobs/x",
            "/v2//tags/list",
            "/v3/",
        ] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
