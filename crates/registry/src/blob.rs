//! Blobs by digest: files that never change, whole or not there.
//!
//! All calls block on the disk; from async code they belong on the blocking pool.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use ropewalk_slug::staging::{self, Staged, sync_folder};
use ropewalk_slug::{Digest, HashWriter};

use crate::{Error, Result};

const BUFFER: usize = 256 * 1024;

/// The folder `<dir>/sha256`, with one file per blob, named by the digest's hexadecimal characters.
#[derive(Debug, Clone)]
pub struct BlobStore {
    folder: PathBuf,
}

impl BlobStore {
    /// Makes the folder and removes what a crash left half-written.
    pub fn open(dir: &Path) -> Result<Self> {
        let folder = dir.join("sha256");
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        staging::sweep(&folder)?;
        Ok(Self { folder })
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// The blob's length in bytes, `None` when it is not there.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(facts) => Ok(Some(facts.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", path)(error)),
        }
    }

    /// The whole of a small blob.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing { digest: *digest },
            _ => Error::io("read", path)(error),
        })
    }

    /// Begins a blob whose digest is known only at its end.
    pub fn writer(&self) -> Result<BlobWriter> {
        let staged = Staged::beside(&self.folder.join("unnamed"));
        let path = staged.path();
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        Ok(BlobWriter {
            store: self.clone(),
            staged,
            inner: HashWriter::new(BufWriter::with_capacity(BUFFER, file)),
        })
    }

    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        let mut writer = self.writer()?;
        writer
            .write_all(bytes)
            .map_err(Error::io("write", &self.folder))?;
        Ok(writer.finish(None)?.0)
    }

    /// Copies a file in. Fails, storing nothing, unless its content has the digest.
    pub fn put_file(&self, source: &Path, expected: &Digest) -> Result<u64> {
        let mut file = File::open(source).map_err(Error::io("open", source))?;
        let mut writer = self.writer()?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = file.read(&mut buffer).map_err(Error::io("read", source))?;
            if count == 0 {
                return Ok(writer.finish(Some(expected))?.1);
            }
            writer
                .write_all(&buffer[..count])
                .map_err(Error::io("write", &self.folder))?;
        }
    }

    /// Gives a file of the same file system a second name as a blob, or copies it where that cannot be. Its content
    /// is verified; nobody may change the file afterwards. A blob that is there already is kept.
    pub fn link_file(&self, source: &Path, expected: &Digest) -> Result<()> {
        if self.size(expected)?.is_some() {
            return Ok(());
        }
        let found = Digest::of_file(source)?;
        if found != *expected {
            return Err(Error::Mismatch {
                expected: *expected,
                found,
            });
        }
        match fs::hard_link(source, self.path(expected)) {
            Ok(()) => Ok(sync_folder(&self.folder)?),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(_) => self.put_file(source, expected).map(|_| ()),
        }
    }

    /// Removes a blob; not being there is success. Readers that have it open keep it.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// All blobs, in order.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))? {
            let entry = entry.map_err(Error::io("list", &self.folder))?;
            digests.extend(entry.file_name().to_str().and_then(Digest::from_hex));
        }
        digests.sort_unstable();
        Ok(digests)
    }
}

/// A blob under way; dropped without [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    staged: Staged,
    inner: HashWriter<BufWriter<File>>,
}

impl BlobWriter {
    /// Stores the blob durably and tells its digest and length. Fails, storing nothing, when another digest was
    /// expected.
    pub fn finish(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let (found, size, mut buffer) = self.inner.finish();
        buffer
            .flush()
            .map_err(Error::io("write", self.staged.path()))?;
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(Error::Mismatch {
                expected: *expected,
                found,
            });
        }
        self.staged.publish_as(&self.store.path(&found))?;
        Ok((found, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.inner.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn what_is_put_is_there_and_goes_when_removed() {
        let (_folder, store) = store();
        let digest = store.put_bytes(b"hello").unwrap();
        assert_eq!(store.put_bytes(b"hello").unwrap(), digest);
        assert_eq!(store.read(&digest).unwrap(), b"hello");
        assert_eq!(store.size(&digest).unwrap(), Some(5));
        assert_eq!(store.list().unwrap(), [digest]);
        store.remove(&digest).unwrap();
        store.remove(&digest).unwrap();
        assert!(matches!(store.read(&digest), Err(Error::Missing { .. })));
        assert_eq!(store.size(&digest).unwrap(), None);
    }

    #[test]
    fn content_of_another_digest_is_not_stored() {
        let (folder, store) = store();
        let source = folder.path().join("file");
        fs::write(&source, "content").unwrap();
        let wrong = Digest::of(b"other");
        assert!(matches!(
            store.put_file(&source, &wrong),
            Err(Error::Mismatch { .. })
        ));
        assert!(matches!(
            store.link_file(&source, &wrong),
            Err(Error::Mismatch { .. })
        ));
        assert_eq!(
            fs::read_dir(folder.path().join("sha256")).unwrap().count(),
            0
        );

        let right = Digest::of(b"content");
        store.link_file(&source, &right).unwrap();
        store.link_file(&source, &right).unwrap();
        assert_eq!(store.put_file(&source, &right).unwrap(), 7);
        assert_eq!(store.list().unwrap(), [right]);
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_nothing_and_a_crash_is_swept() {
        let (folder, store) = store();
        let mut writer = store.writer().unwrap();
        writer.write_all(b"half").unwrap();
        drop(writer);
        let blobs = folder.path().join("sha256");
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0);
        fs::write(blobs.join(format!("{}4194305-1", staging::PREFIX)), "half").unwrap();
        BlobStore::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0);
    }
}
