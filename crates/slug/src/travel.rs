//! The form that travels: a gzipped tar of `./app`, which is Heroku's slug and an OCI layer at once.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::FileType;

use crate::archive::{Archive, Meta};
use crate::staging::Staged;
use crate::tree::{Entry, Limits, walk};
use crate::{DYNO_ID, Digest, Error, FIXED_TIME, HashWriter, Result};

/// Level of the compression: with zlib-rs, level 6 takes half as long again and saves a twentieth.
pub const LEVEL: u32 = 3;

/// A written archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Travel {
    /// SHA-256 of the gzipped archive: the layer's digest.
    pub digest: Digest,
    /// SHA-256 of the tar within: the layer's diff id.
    pub diff_id: Digest,
    /// Bytes of the gzipped archive.
    pub size: u64,
}

/// Writes `./app/**` of a mounted image or a prepared tree to `out`, which appears whole or not at all. The same
/// tree gives the same bytes. Blocking, for seconds: to be called on the blocking pool.
pub fn write_tgz(tree: &Path, out: &Path) -> Result<Travel> {
    let staged = Staged::beside(out);
    let file = File::create_new(staged.path()).map_err(Error::io("create", staged.path()))?;
    let mut archive = Archive::new(GzipHasher::new(BufWriter::new(file), LEVEL));
    let written = Error::io("write", staged.path());
    let mut name = Vec::new();
    archive
        .directory(b"./app/", meta(0o755))
        .map_err(Error::io("write", staged.path()))?;
    walk(tree, Limits::SLUG, |entry| {
        add(&mut archive, entry, &mut name)
    })?;
    let (travel, _) = archive
        .finish()
        .and_then(GzipHasher::finish)
        .map_err(written)?;
    staged.publish()?;
    Ok(travel)
}

/// Compresses what is written to it and keeps the digests of both sides, in one pass.
pub struct GzipHasher<W: Write>(HashWriter<GzEncoder<HashWriter<W>>>);

impl<W: Write> GzipHasher<W> {
    /// `level` from 1 (fast) to 9 (small).
    pub fn new(inner: W, level: u32) -> Self {
        // No time and no operating system in the header: the bytes depend on the content alone.
        let gzip = GzBuilder::new()
            .mtime(0)
            .operating_system(255)
            .write(HashWriter::new(inner), Compression::new(level));
        Self(HashWriter::new(gzip))
    }

    /// The digests of both sides, and the inner writer, flushed.
    pub fn finish(self) -> std::io::Result<(Travel, W)> {
        let (diff_id, _, gzip) = self.0.finish();
        let (digest, size, mut inner) = gzip.finish()?.finish();
        inner.flush()?;
        let travel = Travel {
            digest,
            diff_id,
            size,
        };
        Ok((travel, inner))
    }
}

impl<W: Write> Write for GzipHasher<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> std::fmt::Debug for GzipHasher<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GzipHasher")
    }
}

fn add<W: Write>(archive: &mut Archive<W>, entry: &Entry<'_>, name: &mut Vec<u8>) -> Result<()> {
    name.clear();
    name.extend_from_slice(b"./app/");
    name.extend_from_slice(entry.path.as_os_str().as_encoded_bytes());
    let meta = meta(entry.mode() & 0o1777);
    match entry.file_type() {
        FileType::Directory => {
            name.push(b'/');
            archive.directory(name, meta)
        }
        FileType::Symlink => archive.symlink(name, &entry.link_target()?, meta),
        FileType::RegularFile => {
            // The walk has seen that the length is not negative.
            let length = entry.stat.st_size.unsigned_abs();
            archive.file(name, length, &mut entry.open()?, meta)
        }
        _ => return entry.refuse_special(),
    }
    .map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => Error::Changed {
            path: entry.path.to_owned(),
        },
        _ => Error::io("archive", entry.path)(source),
    })
}

fn meta(mode: u32) -> Meta {
    Meta {
        uid: DYNO_ID,
        gid: DYNO_ID,
        mode,
        mtime: FIXED_TIME,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn make(root: &Path, order: &[&str]) {
        for name in order {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name.repeat(1000)).unwrap();
        }
        symlink("../b", root.join("a/link")).unwrap();
    }

    #[test]
    fn digests_depend_on_the_tree_alone_and_entries_are_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        make(&one, &["a/x", "b", "a/c/d", "Procfile"]);
        make(&two, &["Procfile", "a/c/d", "b", "a/x"]);
        let out = folder.path().join("out.tgz");
        let first = write_tgz(&one, &folder.path().join("other.tgz")).unwrap();
        let travel = write_tgz(&two, &out).unwrap();
        assert_eq!(first, travel);

        assert_eq!(Digest::of_file(&out).unwrap(), travel.digest);
        assert_eq!(fs::metadata(&out).unwrap().len(), travel.size);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(File::open(&out).unwrap())
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(Digest::of(&plain), travel.diff_id);
        let mut archive = tar::Archive::new(plain.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
            .collect();
        let expected =
            "./app/ ./app/Procfile ./app/a/ ./app/a/c/ ./app/a/c/d ./app/a/link ./app/a/x ./app/b";
        assert_eq!(names.join(" "), expected);
    }
}
