//! Images: loading an archive, asking, removing.

use std::path::Path;

use bollard::query_parameters::{ImportImageOptions, RemoveImageOptions};
use futures_util::TryStreamExt;
use tokio_util::io::ReaderStream;

use super::DockerEngine;
use super::failure::Call;
use crate::{EngineError, Result};

/// Bytes of the archive handed over at a time.
const CHUNK: usize = 256 * 1024;

impl DockerEngine {
    pub(super) async fn load_archive(&self, archive: &Path) -> Result<()> {
        let name = archive.to_string_lossy();
        let call = Call::new("load", "archive", &name, 600);
        let file = tokio::fs::File::open(archive)
            .await
            .map_err(|source| EngineError::Io {
                verb: "open",
                path: name.to_string(),
                source,
            })?;
        let docker = self.client()?;
        let progress = docker.import_image_stream(
            ImportImageOptions {
                quiet: true,
                ..Default::default()
            },
            ReaderStream::with_capacity(file, CHUNK),
            None,
        );
        call.answer(progress.try_for_each(|_| async { Ok(()) }))
            .await
    }

    pub(super) async fn find_image(&self, image: &str) -> Result<bool> {
        let call = Call::new("inspect", "image", image, 10);
        match call.answer(self.client()?.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(EngineError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete_image(&self, image: &str) -> Result<()> {
        let call = Call::new("remove", "image", image, 60);
        let removed = call
            .answer(
                self.client()?
                    .remove_image(image, None::<RemoveImageOptions>, None),
            )
            .await;
        match removed {
            Ok(_) | Err(EngineError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
