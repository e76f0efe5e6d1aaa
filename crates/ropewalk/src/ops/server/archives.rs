//! The port of the API for archives and builds, filled by the builder; slugs go out in the form that travels.

use std::error::Error;
use std::fs::File;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use ropewalk_api::{Archive, ArchiveError, BuildRequest, Builds, Origin, TestRequest};
use ropewalk_builder::{self as builder, ArchiveOrder, Refused, TestOrder, Upload, parse_checksum};
use ropewalk_model::{AppId, BuildId, PipelineId, SlugId, SourceId, TestRunId, UserId};
use ropewalk_store::StoreError;
use tokio_util::io::ReaderStream;

use super::platform::Ports;

/// Read at once, in bytes.
const CHUNK: usize = 256 << 10;

impl Builds for Ports {
    fn put_source(
        &self,
        account: UserId,
        source: SourceId,
        archive: Archive,
    ) -> BoxFuture<'_, Result<(), ArchiveError>> {
        async move {
            let put = self.builder.put_source(account, source, upload(archive));
            put.await.map_err(refused)
        }
        .boxed()
    }

    fn source(
        &self,
        account: UserId,
        source: SourceId,
    ) -> BoxFuture<'_, Result<Archive, ArchiveError>> {
        async move {
            let found = self.builder.source(account, source).map_err(failed)?;
            let (file, length) = found.ok_or(ArchiveError::NotFound)?;
            Ok(download(file, length))
        }
        .boxed()
    }

    fn put_slug(&self, slug: SlugId, archive: Archive) -> BoxFuture<'_, Result<(), ArchiveError>> {
        async move {
            let put = self.builder.put_slug(slug, upload(archive));
            put.await.map_err(refused)
        }
        .boxed()
    }

    fn slug(&self, slug: SlugId) -> BoxFuture<'_, Result<Archive, ArchiveError>> {
        async move {
            let found = self.store.read(move |view| view.slug(slug)).await;
            let slug = found.map_err(|error| match error {
                StoreError::NotFound(_) => ArchiveError::NotFound,
                error => failed(error),
            })?;
            let layer = self.travels.layer(&slug).await;
            let layer = layer.map_err(|error| ArchiveError::Failed(format!("{error:#}")))?;
            let path = self.travels.blobs.path(&layer.digest);
            let file = File::open(path).map_err(failed)?;
            Ok(download(file, layer.size))
        }
        .boxed()
    }

    fn build(&self, request: BuildRequest) -> BoxFuture<'_, Result<BuildId, ArchiveError>> {
        let checksum = request.checksum.as_deref().map(parse_checksum);
        let order = ArchiveOrder {
            app: request.app,
            user: request.user,
            archive: builder::Archive {
                origin: origin(request.origin, &request.url),
                url: request.url,
                checksum: checksum.flatten(),
                version: request.version,
                description: request.description,
            },
            buildpacks: request.buildpacks,
        };
        async move { self.builder.build(order).await.map_err(refused) }.boxed()
    }

    fn cancel_build(&self, app: AppId, build: BuildId) -> bool {
        self.builder.cancel_build(app, build)
    }

    fn test(&self, request: TestRequest) -> BoxFuture<'_, Result<TestRunId, ArchiveError>> {
        let order = TestOrder {
            pipeline: request.pipeline,
            user: request.user,
            stack: request.stack,
            archive: builder::Archive {
                origin: origin(request.origin, &request.url),
                url: request.url,
                checksum: None,
                version: Some(request.commit_sha.clone()),
                description: None,
            },
            commit_branch: request.commit_branch,
            commit_message: request.commit_message,
            commit_sha: request.commit_sha,
        };
        async move { self.builder.test(order).await.map_err(refused) }.boxed()
    }

    fn cancel_test(&self, run: TestRunId) {
        self.builder.cancel_test(run);
    }

    fn pipeline_deleted(&self, pipeline: PipelineId) {
        let builder = self.builder.clone();
        self.tasks.spawn("pipeline removal", async move {
            if let Err(error) = builder.remove_pipeline(pipeline).await {
                tracing::warn!(%pipeline, %error, "The files of a deleted pipeline could not be removed.");
            }
        });
    }

    fn purge_build_cache(&self, app: AppId) -> BoxFuture<'_, Result<(), ArchiveError>> {
        async move { self.builder.purge_cache(app).await.map_err(failed) }.boxed()
    }
}

fn origin(origin: Origin, url: &str) -> builder::Origin {
    match origin {
        Origin::Source { account, source } => builder::Origin::Source { account, source },
        Origin::Elsewhere => builder::Origin::Elsewhere(url.to_owned()),
    }
}

fn upload(archive: Archive) -> Upload {
    Upload {
        length: archive.length,
        body: archive.body,
    }
}

fn download(file: File, length: u64) -> Archive {
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
    Archive {
        length: Some(length),
        body: Box::pin(stream.into_stream()),
    }
}

fn refused(refused: Refused) -> ArchiveError {
    match refused {
        Refused::NotFound => ArchiveError::NotFound,
        Refused::Invalid(text) => ArchiveError::Invalid(text),
        Refused::Conflict(text) => ArchiveError::Conflict(text),
        Refused::TooLarge(text) => ArchiveError::TooLarge(text),
        Refused::Later(text) => ArchiveError::Later(text),
        Refused::BrokenOff => {
            ArchiveError::Invalid("The archive broke off before its end.".to_owned())
        }
        Refused::Failed(error) => failed(error),
    }
}

/// The error and what caused it, for the platform's log.
fn failed(error: impl Error) -> ArchiveError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    ArchiveError::Failed(text)
}
