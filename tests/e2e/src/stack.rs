//! Another version of the platform's stack, as a build of newer packages would leave it.

use std::path::Path;
use std::time::Duration;

use ropewalk_registry::{BlobStore, Layer};
use ropewalk_slug::archive::{Archive, Meta};
use ropewalk_slug::{FIXED_TIME, GzipHasher};
use ropewalk_stack::Stack;
use ropewalk_stack::build::{describe, version};

use crate::Rig;

const STACK: &str = "debian-13";

/// Of the layer's folders and its file.
const fn meta(mode: u32) -> Meta {
    Meta {
        uid: 0,
        gid: 0,
        mode,
        mtime: FIXED_TIME,
    }
}

impl Rig {
    /// Makes a version with one file more, or another one, and waits until the server has taken it in. It is told.
    #[track_caller]
    pub fn patch_stack(&self, path: &str, text: &str) -> String {
        let file = self.data.join("stacks").join(format!("{STACK}.json"));
        let old: Stack = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let blobs = BlobStore::open(&self.data.join("blobs")).unwrap();
        let layer = layer(&blobs, path, text);
        let over = |layers: &[Layer]| {
            let layers = [layers, &[layer]].concat();
            describe(&old.settings, layers, &blobs).unwrap()
        };
        let (run, build) = (over(&old.run.layers), over(&old.build.layers));
        let made = [&build, &run].map(|image| {
            [
                image.config_digest.to_string(),
                image.manifest_digest.to_string(),
            ]
        });
        self.images
            .lock()
            .unwrap()
            .extend(made.into_iter().flatten());
        let new = Stack {
            version: version(&run, &build),
            run,
            build,
            ..old
        };
        let staged = file.with_extension("new");
        std::fs::write(&staged, serde_json::to_vec(&new).unwrap()).unwrap();
        std::fs::rename(&staged, &file).unwrap();
        let version = new.version.to_string();
        self.wait("the patched stack", Duration::from_secs(120), |rig| {
            let (_, status) = rig.api("GET", "/ropewalk/status", "");
            status.contains(&version)
        });
        version
    }
}

fn layer(blobs: &BlobStore, path: &str, text: &str) -> Layer {
    let mut archive = Archive::new(GzipHasher::new(blobs.writer().unwrap(), 1));
    let folder = Path::new(path).parent().unwrap().to_str().unwrap();
    let folder = format!("{folder}/");
    archive.directory(folder.as_bytes(), meta(0o755)).unwrap();
    let mut content = text.as_bytes();
    let length = content.len() as u64;
    archive
        .file(path.as_bytes(), length, &mut content, meta(0o644))
        .unwrap();
    let (travel, blob) = archive.finish().and_then(GzipHasher::finish).unwrap();
    blob.finish(Some(&travel.digest)).unwrap();
    Layer {
        digest: travel.digest,
        diff_id: travel.diff_id,
        size: travel.size,
    }
}
