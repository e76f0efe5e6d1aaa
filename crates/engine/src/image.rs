//! By which name an engine knows an image: that depends on where it keeps its images.

use serde_json::Value;

use crate::{Engine, Result};

/// The digests of an image, `sha256:…`. Docker Engine's own store takes the config's for the image's id; on
/// containerd, the default of new installations since Docker 29, only the manifest's leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIds {
    config: String,
    /// Absent in descriptions that were written without it.
    manifest: Option<String>,
}

impl ImageIds {
    /// Reads a description of an image: an object with `config_digest` and `manifest_digest`. `None` without the
    /// first.
    pub fn read(image: &Value) -> Option<Self> {
        let text = |key: &str| Some(image.get(key)?.as_str()?.to_owned());
        Some(Self {
            config: text("config_digest")?,
            manifest: text("manifest_digest"),
        })
    }

    /// The name under which the engine has the image; `None` when it does not have it.
    ///
    /// # Errors
    /// As [`Engine::has_image`].
    pub async fn find(&self, engine: &dyn Engine) -> Result<Option<String>> {
        for id in [Some(&self.config), self.manifest.as_ref()]
            .into_iter()
            .flatten()
        {
            if engine.has_image(id).await? {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    /// Removes the image under every name it may have; that it is not there is success.
    ///
    /// # Errors
    /// As [`Engine::remove_image`].
    pub async fn remove(&self, engine: &dyn Engine) -> Result<()> {
        engine.remove_image(&self.config).await?;
        match &self.manifest {
            Some(manifest) => engine.remove_image(manifest).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ropewalk_model::InstanceId;
    use serde_json::json;

    use super::*;
    use crate::fake::FakeEngine;

    #[tokio::test]
    async fn an_image_is_found_by_the_digest_that_the_engine_goes_by() {
        let engine = FakeEngine::new(InstanceId::parse("0a0b0c0d").expect("hex"));
        let image = json!({"config_digest": "sha256:c", "manifest_digest": "sha256:m"});
        let ids = ImageIds::read(&image).expect("ids");
        let find = || async { ids.find(&engine).await.expect("an answer") };
        assert_eq!(find().await.as_deref(), Some("sha256:c"));
        // An engine on containerd.
        engine.forget_image("sha256:c");
        assert_eq!(find().await.as_deref(), Some("sha256:m"));
        ids.remove(&engine).await.expect("removed");
        assert_eq!(find().await, None);
        assert_eq!(
            ImageIds::read(&json!({"manifest_digest": "sha256:m"})),
            None
        );
    }
}
