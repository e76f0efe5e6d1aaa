//! Image descriptions, byte for byte: config and manifest, in the OCI form and in Docker's.
//!
//! The digest of an image is a digest over these bytes, so field order and spelling are part of the format here.

use std::collections::BTreeMap;

use ropewalk_slug::Digest;
use serde::{Deserialize, Serialize};

use crate::Result;

/// When every image says it was made: never the true time, so that the same content has the same digest.
const CREATED: &str = "1980-01-01T00:00:01Z";

/// One layer: a gzipped tar in the blob store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Of the gzipped tar.
    pub digest: Digest,
    /// Of the tar within.
    pub diff_id: Digest,
    /// Bytes of the gzipped tar.
    pub size: u64,
}

/// How a container of the image starts unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// `user`, or `uid:gid`.
    pub user: String,
    pub working_dir: String,
    pub env: BTreeMap<String, String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// An image whose description and layers are in the blob store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// Of the config: the image's id in engines that keep images themselves.
    pub config_digest: Digest,
    /// Of the OCI manifest: the image's id in engines that keep images in containerd.
    pub manifest_digest: Digest,
    /// From the lowest up.
    pub layers: Vec<Layer>,
}

/// Which of the two spellings a manifest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Oci,
    Docker,
}

/// A manifest as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub bytes: Vec<u8>,
    pub digest: Digest,
}

impl Form {
    pub fn manifest_type(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config_type(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn layer_type(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
    }
}

/// The config's bytes. Both forms of manifest share it.
pub fn config(settings: &Settings, layers: &[Layer]) -> Result<Vec<u8>> {
    let config = wire::Config {
        created: CREATED,
        architecture: &settings.architecture,
        os: "linux",
        config: wire::Start {
            user: &settings.user,
            env: settings
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            entrypoint: &settings.entrypoint,
            cmd: &settings.command,
            working_dir: &settings.working_dir,
            labels: &settings.labels,
        },
        rootfs: wire::RootFs {
            kind: "layers",
            diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
        },
        history: layers
            .iter()
            .map(|_| wire::History {
                created: CREATED,
                created_by: "ropewalk",
            })
            .collect(),
    };
    Ok(serde_json::to_vec(&config)?)
}

/// The manifest of a config and the layers it names.
pub fn manifest(form: Form, config: &[u8], layers: &[Layer]) -> Result<Manifest> {
    let manifest = wire::Manifest {
        schema_version: 2,
        media_type: form.manifest_type(),
        config: wire::Descriptor {
            media_type: form.config_type(),
            size: config.len() as u64,
            digest: Digest::of(config),
        },
        layers: layers
            .iter()
            .map(|layer| wire::Descriptor {
                media_type: form.layer_type(),
                size: layer.size,
                digest: layer.digest,
            })
            .collect(),
    };
    let bytes = serde_json::to_vec(&manifest)?;
    Ok(Manifest {
        media_type: form.manifest_type().to_owned(),
        digest: Digest::of(&bytes),
        bytes,
    })
}

/// The JSON as the specifications spell it.
mod wire {
    use super::{BTreeMap, Digest, Serialize};

    #[derive(Serialize)]
    pub(super) struct Config<'a> {
        pub(super) created: &'a str,
        pub(super) architecture: &'a str,
        pub(super) os: &'a str,
        pub(super) config: Start<'a>,
        pub(super) rootfs: RootFs<'a>,
        pub(super) history: Vec<History<'a>>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    pub(super) struct Start<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        pub(super) user: &'a str,
        pub(super) env: Vec<String>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        pub(super) entrypoint: &'a [String],
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        pub(super) cmd: &'a [String],
        #[serde(skip_serializing_if = "str::is_empty")]
        pub(super) working_dir: &'a str,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub(super) labels: &'a BTreeMap<String, String>,
    }

    #[derive(Serialize)]
    pub(super) struct RootFs<'a> {
        #[serde(rename = "type")]
        pub(super) kind: &'a str,
        pub(super) diff_ids: Vec<Digest>,
    }

    #[derive(Serialize)]
    pub(super) struct History<'a> {
        pub(super) created: &'a str,
        pub(super) created_by: &'a str,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Manifest<'a> {
        pub(super) schema_version: u32,
        pub(super) media_type: &'a str,
        pub(super) config: Descriptor<'a>,
        pub(super) layers: Vec<Descriptor<'a>>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Descriptor<'a> {
        pub(super) media_type: &'a str,
        pub(super) size: u64,
        pub(super) digest: Digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are the format: a change here changes every image's digest.
    #[test]
    fn bytes_are_exact() {
        let layer = Layer {
            digest: Digest([1; 32]),
            diff_id: Digest([2; 32]),
            size: 3,
        };
        let settings = Settings {
            architecture: "amd64".into(),
            user: "20000:20000".into(),
            working_dir: "/app".into(),
            env: [("HOME".to_owned(), "/app".to_owned())].into(),
            ..Settings::default()
        };
        let config = config(&settings, &[layer]).unwrap();
        let two = "02".repeat(32);
        assert_eq!(
            String::from_utf8(config.clone()).unwrap(),
            format!(
                r#"{{"created":"1980-01-01T00:00:01Z","architecture":"amd64","os":"linux","config":{{"User":"20000:20000","Env":["HOME=/app"],"WorkingDir":"/app"}},"rootfs":{{"type":"layers","diff_ids":["sha256:{two}"]}},"history":[{{"created":"1980-01-01T00:00:01Z","created_by":"ropewalk"}}]}}"#
            )
        );
        let manifest = manifest(Form::Oci, &config, &[layer]).unwrap();
        let one = "01".repeat(32);
        assert_eq!(
            String::from_utf8(manifest.bytes).unwrap(),
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":3,"digest":"sha256:{one}"}}]}}"#,
                config.len(),
                Digest::of(&config)
            )
        );
    }
}
