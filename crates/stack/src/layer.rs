//! Turns a root file system, or the upper folder of an overlay over one, into a layer.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ropewalk_registry::{BlobStore, Layer};
use ropewalk_slug::archive::{Archive, Meta};
use ropewalk_slug::tree::{Entry, Limits, walk};
use ropewalk_slug::{FIXED_TIME, GzipHasher};
use rustix::fs::FileType;

use crate::{Error, Result};

/// Level of the compression. Stacks are large and mostly loaded on the host that made them: the fastest level takes
/// half as long as the slug's and makes a quarter more.
const LEVEL: u32 = 1;

/// Writes the layer into the blob store and tells the bytes of its files. Blocking, for seconds.
///
/// What was made at `started` (seconds since the epoch) or later carries a fixed time; what packages brought is
/// older and keeps its own, by which Python knows its compiled files. Setuid bits, extended attributes, devices
/// and sockets are not taken; an overlay's marks of deletion become a layer's.
pub(crate) fn write(root: &Path, started: i64, blobs: &BlobStore) -> Result<(Layer, u64)> {
    let writer = GzipHasher::new(blobs.writer()?, LEVEL);
    let mut layer = Writer {
        archive: Archive::new(writer),
        links: HashMap::new(),
        started,
    };
    let facts = walk(root, Limits::ROOT, |entry| layer.add(entry))?;
    let failed = Error::io("write a layer of", root);
    let finished = layer.archive.finish().and_then(GzipHasher::finish);
    let (travel, blob) = finished.map_err(failed)?;
    blob.finish(Some(&travel.digest))?;
    let layer = Layer {
        digest: travel.digest,
        diff_id: travel.diff_id,
        size: travel.size,
    };
    Ok((layer, facts.bytes))
}

struct Writer<W: Write> {
    archive: Archive<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    started: i64,
}

impl<W: Write> Writer<W> {
    fn add(&mut self, entry: &Entry<'_>) -> ropewalk_slug::Result<()> {
        let meta = self.meta(entry);
        let mut name = entry.path.as_os_str().as_bytes().to_vec();
        let written = match entry.file_type() {
            FileType::Directory => {
                name.push(b'/');
                self.archive.directory(&name, meta)
            }
            FileType::Symlink => self.archive.symlink(&name, &entry.link_target()?, meta),
            FileType::RegularFile => return self.file(entry, name, meta),
            FileType::CharacterDevice if entry.stat.st_rdev == 0 => {
                self.archive
                    .file(&whiteout(entry.path), 0, &mut &b""[..], meta)
            }
            _ => Ok(()),
        };
        written.map_err(archive_error(entry.path))?;
        if entry.file_type() == FileType::Directory
            && entry.has_attribute("trusted.overlay.opaque", b"y")?
        {
            name.extend_from_slice(b".wh..wh..opq");
            let mark = self.archive.file(&name, 0, &mut &b""[..], meta);
            mark.map_err(archive_error(entry.path))?;
        }
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>, name: Vec<u8>, meta: Meta) -> ropewalk_slug::Result<()> {
        let number = (entry.stat.st_dev, entry.stat.st_ino);
        if let Some(earlier) = self.links.get(&number) {
            let written = self.archive.hard_link(&name, earlier, meta);
            return written.map_err(archive_error(entry.path));
        }
        let length = entry.stat.st_size.unsigned_abs();
        let mut content = entry.open()?;
        let written = self.archive.file(&name, length, &mut content, meta);
        written.map_err(archive_error(entry.path))?;
        if entry.stat.st_nlink > 1 {
            self.links.insert(number, name);
        }
        Ok(())
    }

    fn meta(&self, entry: &Entry<'_>) -> Meta {
        let time = entry.stat.st_mtime;
        let mtime = match u32::try_from(time) {
            Ok(mtime) if time < self.started => mtime,
            _ => FIXED_TIME,
        };
        Meta {
            uid: entry.stat.st_uid,
            gid: entry.stat.st_gid,
            mode: entry.mode() & 0o1777,
            mtime,
        }
    }
}

/// How a layer says that a name of a lower one is gone.
fn whiteout(path: &Path) -> Vec<u8> {
    let mut name = b".wh.".to_vec();
    name.extend_from_slice(path.file_name().unwrap_or(OsStr::new("")).as_bytes());
    path.with_file_name(OsStr::from_bytes(&name))
        .into_os_string()
        .as_bytes()
        .to_vec()
}

fn archive_error(path: &Path) -> impl FnOnce(std::io::Error) -> ropewalk_slug::Error {
    let path = path.to_owned();
    move |source| ropewalk_slug::Error::Io {
        action: "archive",
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    #[test]
    fn deletions_links_and_times_are_said_in_the_layers_words() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: marks of deletion need root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("upper");
        fs::create_dir_all(root.join("usr/opaque")).unwrap();
        fs::write(root.join("usr/one"), "x").unwrap();
        fs::hard_link(root.join("usr/one"), root.join("usr/two")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("usr/lost"),
            FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
            0,
        )
        .unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        let opaque = root.join("usr/opaque");
        rustix::fs::setxattr(&opaque, "trusted.overlay.opaque", b"y", flags).unwrap();
        let blobs = BlobStore::open(folder.path()).unwrap();
        let (layer, bytes) = write(&root, 0, &blobs).unwrap();
        assert_eq!(bytes, 2);
        assert_eq!(write(&root, 0, &blobs).unwrap().0, layer);

        let packed = fs::File::open(blobs.path(&layer.digest)).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut plain)
            .unwrap();
        let mut archive = tar::Archive::new(plain.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), u64::from(FIXED_TIME));
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let name = [&*entry.path_bytes(), b">", &target].concat();
                String::from_utf8(name).unwrap()
            })
            .collect();
        assert_eq!(
            names.join(" "),
            "usr/> usr/.wh.lost> usr/one> usr/opaque/> usr/opaque/.wh..wh..opq> usr/two>usr/one"
        );
    }
}
