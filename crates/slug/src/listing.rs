//! What a tree holds, name by name: the slug's identity, and what two trees are compared by.
//!
//! A listing is taken on the one walk that makes a tree fit to be a slug. Nothing here reads or writes images; which
//! images a slug is made of has no say in its digest.

use std::cmp::Ordering;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use crate::stamps::Stamps;
use crate::tree::{Entry, Limits, TreeFacts, prepare};
use crate::{Digest, Result};

/// Begins what is hashed and written: other rules would be another number.
const FORM: &[u8] = b"ropewalk tree 1\n";

/// BLAKE3 of a file's content.
pub(crate) type Content = [u8; 32];

/// All names of a tree in the order of [`crate::tree::walk`]; the top itself is not among them. Kept as it is hashed and
/// written down: one piece of memory, about 130 bytes a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    bytes: Vec<u8>,
}

/// One name of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// From the tree's top, bytes as the file system has them.
    pub(crate) path: &'a [u8],
    /// Permission bits with the sticky bit.
    pub(crate) mode: u16,
    pub(crate) what: What<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Folder,
    /// Where it points.
    Link(&'a [u8]),
    File {
        size: u64,
        content: Content,
    },
}

/// A tree that was made fit to be a slug.
#[derive(Debug)]
pub struct Survey {
    pub listing: Listing,
    pub facts: TreeFacts,
    /// What spares the next survey most of its reading.
    pub stamps: Stamps,
}

/// Makes a built tree fit to be a slug, in place, and lists it: `.git` at its top and sockets anywhere go, as do setuid
/// and setgid bits. Fails on devices and named pipes, and above `limits`. Files that `known` knows are not read. Blocking: what is not known is read at about 2 GB a second.
///
/// Nobody may write to the tree meanwhile.
pub fn survey(root: &Path, limits: Limits, known: &Stamps) -> Result<Survey> {
    let mut listing = Listing::new();
    let mut stamps = Stamps::of_now();
    let facts = prepare(root, limits, |entry| {
        list(entry, known, &mut listing, &mut stamps)
    })?;
    Ok(Survey {
        listing,
        facts,
        stamps,
    })
}

fn list(
    entry: &Entry<'_>,
    known: &Stamps,
    listing: &mut Listing,
    stamps: &mut Stamps,
) -> Result<()> {
    let path = entry.path.as_os_str().as_bytes();
    // What is cut off is the kind of file.
    let mode = (entry.mode() & 0o1777) as u16;
    match entry.file_type() {
        FileType::RegularFile => {
            let content = match known.content(entry.stat) {
                Some(content) => content,
                None => entry.content()?,
            };
            stamps.note(entry.stat, content);
            let what = What::File {
                // The walk has seen that it is not negative.
                size: entry.stat.st_size.unsigned_abs(),
                content,
            };
            listing.push(Item { path, mode, what });
        }
        FileType::Directory => listing.push(Item {
            path,
            mode,
            what: What::Folder,
        }),
        FileType::Symlink => listing.push(Item {
            path,
            // A link's own bits mean nothing, and some file systems make them up.
            mode: 0o777,
            what: What::Link(&entry.link_target()?),
        }),
        _ => return entry.refuse_special(),
    }
    Ok(())
}

impl Listing {
    fn new() -> Self {
        Self {
            bytes: FORM.to_vec(),
        }
    }

    /// The tree's identity: SHA-256 of its names, modes, link targets and contents. The same tree gives the same digest,
    /// wherever and from whatever it was built.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// What [`Listing::read`] reads.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a listing as it was written; `None` for anything else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(FORM)?;
        while !rest.is_empty() {
            item(&mut rest)?;
        }
        Some(Self {
            bytes: bytes.to_owned(),
        })
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let mut rest = self.bytes.strip_prefix(FORM).unwrap_or_default();
        std::iter::from_fn(move || item(&mut rest))
    }

    fn push(&mut self, item: Item<'_>) {
        let bytes = &mut self.bytes;
        let text = |bytes: &mut Vec<u8>, text: &[u8]| {
            // Far below 4 GiB, by the limits of any file system.
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text);
        };
        text(bytes, item.path);
        bytes.extend_from_slice(&item.mode.to_le_bytes());
        match item.what {
            What::Folder => bytes.push(b'd'),
            What::Link(target) => {
                bytes.push(b'l');
                text(bytes, target);
            }
            What::File { size, content } => {
                bytes.push(b'f');
                bytes.extend_from_slice(&size.to_le_bytes());
                bytes.extend_from_slice(&content);
            }
        }
    }
}

impl Item<'_> {
    /// Bytes of a file, 0 of anything else.
    pub(crate) fn size(&self) -> u64 {
        match self.what {
            What::File { size, .. } => size,
            _ => 0,
        }
    }
}

/// The order of the walk: a directory before what it holds, and what it holds before its neighbours.
pub(crate) fn order(one: &[u8], two: &[u8]) -> Ordering {
    let rank = |byte: &u8| match byte {
        // No name holds NUL.
        b'/' => 0,
        byte => *byte,
    };
    one.iter().map(rank).cmp(two.iter().map(rank))
}

/// Whether one path lies below another.
pub(crate) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The next `N` bytes.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// So many of the next bytes.
pub(crate) fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn item<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let path = text(rest)?;
    let mode = u16::from_le_bytes(take(rest)?);
    let [kind] = take(rest)?;
    let what = match kind {
        b'd' => What::Folder,
        b'l' => What::Link(text(rest)?),
        b'f' => What::File {
            size: u64::from_le_bytes(take(rest)?),
            content: take(rest)?,
        },
        _ => return None,
    };
    Some(Item { path, mode, what })
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    take_slice(rest, length)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn make(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        symlink("../b", root.join("a/link")).unwrap();
    }

    fn listing(root: &Path) -> Listing {
        survey(root, Limits::SLUG, &Stamps::default())
            .unwrap()
            .listing
    }

    #[test]
    fn the_same_tree_has_the_same_digest_and_another_has_not() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        make(&one, &["b", "a/c", "a.d"]);
        make(&two, &["a.d", "a/c", "b"]);
        let digest = listing(&one).digest();
        assert_eq!(listing(&two).digest(), digest);

        fs::write(two.join("b"), "c").unwrap();
        assert_ne!(listing(&two).digest(), digest);
        fs::write(two.join("b"), "b").unwrap();
        assert_eq!(listing(&two).digest(), digest);
        fs::set_permissions(two.join("b"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(listing(&two).digest(), digest);
        fs::remove_file(two.join("b")).unwrap();
        assert_ne!(listing(&two).digest(), digest);
    }

    #[test]
    fn a_listing_reads_back_and_its_order_is_the_walks() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["b", "a/c", "a.d", "a/x/y", "a-b"]);
        let taken = listing(dir.path());
        assert_eq!(Listing::read(taken.as_bytes()).unwrap(), taken);
        let paths: Vec<&[u8]> = taken.items().map(|item| item.path).collect();
        assert!(
            paths.is_sorted_by(|one, two| order(one, two).is_lt()),
            "{paths:?}"
        );
        let bytes = taken.as_bytes();
        for length in 0..bytes.len() {
            // Cut between two names it is a listing, of fewer.
            if let Some(read) = Listing::read(&bytes[..length]) {
                assert!(read.items().count() < paths.len());
            }
        }
    }

    #[test]
    fn files_that_are_known_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), &["b", "a/c"]);
        let path = dir.path().join("b");
        // Not what is in it, so that it shows who was believed.
        let known = Stamps::all_of(&[(rustix::fs::lstat(&path).unwrap(), [7; 32])]);
        let content = |known: &Stamps| {
            let taken = survey(dir.path(), Limits::SLUG, known).unwrap().listing;
            let item = taken.items().find(|item| item.path == b"b");
            match item.unwrap().what {
                What::File { content, .. } => content,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(content(&known), [7; 32]);

        // Written to in place, and as long and as old as it was.
        let old = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "x").unwrap();
        let open = fs::File::options().write(true).open(&path).unwrap();
        open.set_times(fs::FileTimes::new().set_modified(old))
            .unwrap();
        assert_eq!(content(&known), *blake3::hash(b"x").as_bytes());
    }
}
