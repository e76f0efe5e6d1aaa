//! Walks a built tree, and makes it fit to be a slug.
//!
//! The tree was written by strangers. Directories are opened one below the other, never through a symbolic link
//! and never by a path from the root, so that a link swapped in cannot lead the walk elsewhere.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::command::remove_tree_blocking;
use crate::listing::Content;
use crate::{Error, Result};

/// What a tree may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files, directories and links together.
    pub entries: u64,
    /// Lengths of all files together, in bytes; a hard link counts each time.
    pub bytes: u64,
    /// Directories within directories.
    pub depth: usize,
    /// Bytes of one path from the tree's top.
    pub path: usize,
}

impl Limits {
    /// What an app may hold: ten times a large Node tree in files, and in bytes what packs to well over the
    /// 500 MB that a slug may have.
    pub const SLUG: Self = Self {
        entries: 200_000,
        bytes: 4 * 1024 * 1024 * 1024,
        depth: 128,
        path: 1024,
    };

    /// What a root file system of ours may hold; deep enough for any package.
    pub const ROOT: Self = Self {
        entries: 2_000_000,
        bytes: 64 * 1024 * 1024 * 1024,
        depth: 256,
        path: 4096,
    };
}

/// The size of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeFacts {
    /// Regular files.
    pub files: u64,
    /// Files, directories and links together.
    pub entries: u64,
    /// Lengths of all files together.
    pub bytes: u64,
}

/// Makes a built tree fit to be a slug, in place: drops `.git` at its top and sockets anywhere, takes setuid and
/// setgid bits away. Fails on devices and named pipes, and above `limits`. Blocking.
///
/// Visits what stays; the facts of a visited entry are those from before it was changed. Nobody may write to the tree
/// meanwhile.
pub(crate) fn prepare(
    root: &Path,
    limits: Limits,
    mut visit: impl FnMut(&Entry<'_>) -> Result<()>,
) -> Result<TreeFacts> {
    let git = root.join(".git");
    if fs::symlink_metadata(&git).is_ok() {
        remove_tree_blocking(&git)?;
    }
    let mut sockets = 0;
    let mut facts = walk(root, limits, |entry| match entry.file_type() {
        FileType::Socket => {
            sockets += 1;
            rustix::fs::unlinkat(entry.folder, entry.name, AtFlags::empty())
                .map_err(Error::sys("remove", entry.path))
        }
        FileType::RegularFile | FileType::Directory => {
            entry.strip_privileges()?;
            visit(entry)
        }
        _ => {
            entry.refuse_special()?;
            visit(entry)
        }
    })?;
    facts.entries -= sockets;
    Ok(facts)
}

/// The size of a tree as it stands; fails on what [`crate::survey`] fails on, and on sockets. Blocking.
pub fn measure(root: &Path, limits: Limits) -> Result<TreeFacts> {
    walk(root, limits, |entry| entry.refuse_special())
}

/// One thing met on a walk; valid only during the visit.
#[derive(Debug)]
pub struct Entry<'a> {
    /// From the walk's root.
    pub path: &'a Path,
    pub stat: &'a Stat,
    folder: BorrowedFd<'a>,
    name: &'a CStr,
}

impl Entry<'_> {
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Permission bits with setuid, setgid and sticky.
    pub fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    /// Opens a regular file for reading; a link put in its place is refused.
    pub fn open(&self) -> Result<fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::openat(self.folder, self.name, flags, Mode::empty())
            .map(fs::File::from)
            .map_err(Error::sys("open", self.path))
    }

    /// BLAKE3 of a regular file's content.
    pub(crate) fn content(&self) -> Result<Content> {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update_reader(self.open()?)
            .map_err(Error::io("read", self.path))?;
        if Ok(hasher.count()) != u64::try_from(self.stat.st_size) {
            return Err(Error::Changed {
                path: self.path.to_owned(),
            });
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// Where a symbolic link points, as it is written.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        rustix::fs::readlinkat(self.folder, self.name, Vec::new())
            .map(|target| target.into_bytes())
            .map_err(Error::sys("read the link", self.path))
    }

    /// Whether a directory carries an extended attribute of this value.
    pub fn has_attribute(&self, name: &str, value: &[u8]) -> Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut found = [0; 64];
        let read = rustix::fs::openat(self.folder, self.name, flags, Mode::empty())
            .and_then(|folder| rustix::fs::fgetxattr(folder, name, &mut found[..]));
        match read {
            Ok(length) => Ok(&found[..length] == value),
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
            Err(errno) => Err(Error::sys("read the attributes of", self.path)(errno)),
        }
    }

    /// Fails for what cannot be part of a slug.
    pub(crate) fn refuse_special(&self) -> Result<()> {
        let kind = match self.file_type() {
            FileType::RegularFile | FileType::Directory | FileType::Symlink => return Ok(()),
            FileType::BlockDevice => "block device",
            FileType::CharacterDevice => "character device",
            FileType::Fifo => "named pipe",
            FileType::Socket => "socket",
            _ => "thing of an unknown kind",
        };
        Err(Error::Forbidden {
            path: self.path.to_owned(),
            kind,
        })
    }

    fn strip_privileges(&self) -> Result<()> {
        let mode = self.mode();
        if mode & 0o6000 == 0 {
            return Ok(());
        }
        rustix::fs::fchmod(self.open()?, Mode::from_raw_mode(mode & 0o1777))
            .map_err(Error::sys("change the mode of", self.path))
    }
}

/// Visits everything below `root` (not `root` itself): a directory before what it holds, names in the order of
/// their bytes. Blocking.
pub fn walk(
    root: &Path,
    limits: Limits,
    visit: impl FnMut(&Entry<'_>) -> Result<()>,
) -> Result<TreeFacts> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty()).map_err(Error::sys("open", root))?;
    let mut walk = Walk {
        limits,
        visit,
        path: PathBuf::new(),
        facts: TreeFacts::default(),
    };
    walk.folder(top.as_fd(), 0)?;
    Ok(walk.facts)
}

struct Walk<V> {
    limits: Limits,
    visit: V,
    path: PathBuf,
    facts: TreeFacts,
}

impl<V: FnMut(&Entry<'_>) -> Result<()>> Walk<V> {
    fn folder(&mut self, folder: BorrowedFd<'_>, depth: usize) -> Result<()> {
        for name in self.names(folder)? {
            let name = name.as_c_str();
            self.path.push(OsStr::from_bytes(name.to_bytes()));
            if let Some(inner) = self.entry(folder, name)? {
                if depth >= self.limits.depth {
                    return Err(Error::TooDeep {
                        path: self.path.clone(),
                        limit: self.limits.depth,
                    });
                }
                self.folder(inner.as_fd(), depth + 1)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Counts and visits one entry; opens it when it is a directory.
    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::sys("look at", &self.path))?;
        let entry = Entry {
            path: &self.path,
            stat: &stat,
            folder,
            name,
        };
        count(&mut self.facts, &entry, self.limits)?;
        (self.visit)(&entry)?;
        if entry.file_type() != FileType::Directory {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(folder, name, flags, Mode::empty())
            .map(Some)
            .map_err(Error::sys("open", &self.path))
    }

    fn names(&self, folder: BorrowedFd<'_>) -> Result<Vec<std::ffi::CString>> {
        let list = || -> std::result::Result<_, Errno> {
            let mut names = Vec::new();
            for entry in Dir::read_from(folder)? {
                let entry = entry?;
                if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    names.push(entry.file_name().to_owned());
                }
            }
            Ok(names)
        };
        let mut names = list().map_err(Error::sys("list", &self.path))?;
        names.sort_unstable();
        Ok(names)
    }
}

fn count(facts: &mut TreeFacts, entry: &Entry<'_>, limits: Limits) -> Result<()> {
    facts.entries += 1;
    if entry.file_type() == FileType::RegularFile {
        facts.files += 1;
        let length = u64::try_from(entry.stat.st_size).map_err(|_| {
            Error::io("look at", entry.path)(io::Error::from(io::ErrorKind::InvalidData))
        })?;
        facts.bytes = facts.bytes.saturating_add(length);
    }
    if facts.entries > limits.entries {
        return Err(Error::TooManyEntries {
            limit: limits.entries,
        });
    }
    if facts.bytes > limits.bytes {
        return Err(Error::TooManyBytes {
            limit: limits.bytes,
        });
    }
    if entry.path.as_os_str().len() > limits.path {
        return Err(Error::PathTooLong {
            path: entry.path.to_owned(),
            limit: limits.path,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
