//! Writes images as an archive for `docker load`, straight from the blob store.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;

use ropewalk_registry::image::{Form, manifest};
use ropewalk_registry::{BlobStore, Digest, ImageRef};
use ropewalk_slug::FIXED_TIME;
use ropewalk_slug::archive::{Archive, Meta};
use serde_json::json;

use crate::{Error, Result};

const META: Meta = Meta {
    uid: 0,
    gid: 0,
    mode: 0o644,
    mtime: FIXED_TIME,
};

/// Writes images, each with a name (`repository:tag`) or none, as one archive. Layers that they share are in it
/// once, gzipped as they are stored. Blocking, for seconds.
///
/// Two descriptions are in it: Docker's own, by which an engine that keeps images itself gives them their config's
/// digest as id, and the OCI one, by which an engine on containerd gives them their manifest's.
pub fn docker_archive(
    images: &[(&ImageRef, Option<&str>)],
    blobs: &BlobStore,
    out: &mut dyn Write,
) -> Result<()> {
    let mut archive = Archive::new(out);
    let mut put = |name: &str, content: &[u8]| {
        archive
            .file(name.as_bytes(), content.len() as u64, &mut &*content, META)
            .map_err(Error::io("write into the archive", name))
    };
    let mut docker = Vec::new();
    let mut oci = Vec::new();
    let mut layers = BTreeSet::new();
    for (image, name) in images {
        let config = blobs.read(&image.config_digest)?;
        let manifest = manifest(Form::Oci, &config, &image.layers)?;
        put(&blob_name(&image.config_digest), &config)?;
        put(&blob_name(&manifest.digest), &manifest.bytes)?;
        layers.extend(image.layers.iter().map(|layer| layer.digest));
        docker.push(json!({
            "Config": blob_name(&image.config_digest),
            "RepoTags": name.iter().collect::<Vec<_>>(),
            "Layers": image.layers.iter().map(|layer| blob_name(&layer.digest)).collect::<Vec<_>>(),
        }));
        let mut descriptor = json!({
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
        });
        if let Some(name) = name {
            let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            descriptor["annotations"] = json!({
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            });
        }
        oci.push(descriptor);
    }
    put("manifest.json", &serde_json::to_vec(&docker)?)?;
    put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": oci,
    });
    put("index.json", &serde_json::to_vec(&index)?)?;
    for digest in &layers {
        let path = blobs.path(digest);
        let mut file = File::open(&path).map_err(Error::io("open", &path))?;
        let length = file.metadata().map_err(Error::io("look at", &path))?.len();
        archive
            .file(blob_name(digest).as_bytes(), length, &mut file, META)
            .map_err(Error::io("archive", &path))?;
    }
    archive
        .finish()
        .and_then(|out| out.flush())
        .map_err(Error::io("write into the archive", "its end"))
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
