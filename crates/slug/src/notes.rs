//! What is remembered of an app's last slug, so that the next one is packed as a change of it.
//!
//! Notes save time and are no record: what does not read back whole, is of another start of the host (files written
//! before a power cut may be empty) or speaks of an image that is not there as it was, counts for nothing.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use crate::listing::{Listing, take, take_slice};
use crate::stamps::Stamps;
use crate::{Digest, Error, Result};

const FORM: &[u8] = b"ropewalk notes 1\n";
/// Changes with every start of the host.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Longest notes that are written or read, in bytes: those of the most names with paths of usual length.
const LONGEST: u64 = 64 << 20;

/// What is remembered.
#[derive(Debug, Clone)]
pub struct Notes {
    /// What the app's tree held when it was last packed.
    pub stamps: Stamps,
    /// The last image that is a whole tree.
    pub base: Base,
}

/// An image that others lie above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub image: Digest,
    /// Bytes of its file.
    pub size: u64,
    /// Bytes of its tree's files.
    pub tree_bytes: u64,
    /// What it holds.
    pub listing: Listing,
    /// Number of its file and nanoseconds of its last change: until that changes, it holds what it held.
    pub(crate) file: (u64, i64),
}

impl Base {
    /// Of an image that has just been written to `file`.
    pub fn new(file: &Path, image: Digest, tree_bytes: u64, listing: Listing) -> Result<Self> {
        let facts = fs::symlink_metadata(file).map_err(Error::io("look at", file))?;
        Ok(Self {
            image,
            size: facts.size(),
            tree_bytes,
            listing,
            file: identity(&facts),
        })
    }

    /// Whether `file` still holds this image, which then counts as new: what removes old files that nobody names leaves
    /// it. Reads it where it might not be what it was. Blocking.
    pub fn still_is(&mut self, file: &Path) -> bool {
        let Ok(facts) = fs::symlink_metadata(file) else {
            return false;
        };
        let same = facts.is_file()
            && facts.size() == self.size
            && (identity(&facts) == self.file
                || Digest::of_file(file).is_ok_and(|found| found == self.image));
        let touched = || {
            let times = fs::FileTimes::new().set_modified(SystemTime::now());
            fs::File::open(file)?.set_times(times)?;
            fs::symlink_metadata(file)
        };
        match same.then(touched) {
            Some(Ok(facts)) => {
                self.file = identity(&facts);
                true
            }
            _ => false,
        }
    }
}

fn identity(facts: &fs::Metadata) -> (u64, i64) {
    let changed = facts.ctime().saturating_mul(1_000_000_000);
    (facts.ino(), changed.saturating_add(facts.ctime_nsec()))
}

impl Notes {
    /// Reads what [`Notes::write`] wrote since the host's start; `None` for anything else. Blocking.
    pub fn read(path: &Path) -> Option<Self> {
        let file = fs::File::open(path).ok()?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
        let (digest, rest) = bytes.split_first_chunk::<32>()?;
        if Digest::of(rest).0 != *digest {
            return None;
        }
        parse(rest, boot().as_bytes())
    }

    /// In the place of earlier notes, in one step. What is too long to be of use is not written. Blocking.
    pub fn write(&self, path: &Path) -> Result<()> {
        let body = self.to_bytes(boot().as_bytes());
        if body.len() as u64 > LONGEST {
            return forget(path);
        }
        let unfinished = path.with_extension("unfinished");
        let bytes = [&Digest::of(&body).0, body.as_slice()].concat();
        fs::write(&unfinished, bytes).map_err(Error::io("write", &unfinished))?;
        fs::rename(&unfinished, path).map_err(Error::io("rename", &unfinished))
    }

    fn to_bytes(&self, boot: &[u8]) -> Vec<u8> {
        let mut bytes = FORM.to_vec();
        let stamps = self.stamps.to_bytes();
        let listing = self.base.listing.as_bytes();
        for part in [boot, &stamps, listing] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&self.base.image.0);
        for number in [self.base.size, self.base.tree_bytes, self.base.file.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.base.file.1.to_le_bytes());
        bytes
    }
}

fn forget(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn boot() -> String {
    fs::read_to_string(BOOT).unwrap_or_default()
}

fn parse(bytes: &[u8], boot: &[u8]) -> Option<Notes> {
    let mut rest = bytes.strip_prefix(FORM)?;
    let mut part = || {
        let length = u64::from_le_bytes(take(&mut rest)?);
        take_slice(&mut rest, usize::try_from(length).ok()?)
    };
    let of = part()?;
    if of != boot || boot.is_empty() {
        return None;
    }
    let stamps = Stamps::read(part()?)?;
    let listing = Listing::read(part()?)?;
    let image = Digest(take(&mut rest)?);
    let mut number = || Some(u64::from_le_bytes(take(&mut rest)?));
    let (size, tree_bytes, inode) = (number()?, number()?, number()?);
    let changed = i64::from_le_bytes(take(&mut rest)?);
    Some(Notes {
        stamps,
        base: Base {
            image,
            size,
            tree_bytes,
            listing,
            file: (inode, changed),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::survey;
    use crate::tree::Limits;

    fn notes(dir: &Path) -> Notes {
        let tree = dir.join("tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("a"), "one").unwrap();
        let taken = survey(&tree, Limits::SLUG, &Stamps::default()).unwrap();
        let file = dir.join("image");
        fs::write(&file, "image").unwrap();
        Notes {
            stamps: taken.stamps,
            base: Base::new(&file, Digest::of(b"image"), 3, taken.listing).unwrap(),
        }
    }

    #[test]
    fn notes_read_back_and_damaged_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        assert!(Notes::read(&path).is_none());
        let notes = notes(dir.path());
        notes.write(&path).unwrap();
        notes.write(&path).unwrap();
        assert_eq!(Notes::read(&path).unwrap().base, notes.base);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(Notes::read(&path).is_none(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(Notes::read(&path).is_none(), "{at} bytes");
        }
        let body = notes.to_bytes(b"another start");
        assert!(parse(&body, b"this start").is_none());
        assert!(parse(&body, b"another start").is_some());
        assert!(parse(&notes.to_bytes(b""), b"").is_none());
    }

    #[test]
    fn an_image_that_was_changed_is_no_base() {
        let dir = tempfile::tempdir().unwrap();
        let mut base = notes(dir.path()).base;
        let file = dir.path().join("image");
        assert!(base.still_is(&file));
        assert!(base.still_is(&file), "looking at it changes nothing");
        fs::write(&file, "imaGe").unwrap();
        assert!(!base.still_is(&file));
        fs::write(&file, "image").unwrap();
        assert!(base.still_is(&file), "the same again");
        fs::remove_file(&file).unwrap();
        assert!(!base.still_is(&file));
    }
}
