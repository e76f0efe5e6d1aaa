//! The way back: from an archive that a stranger sent to files in a folder.
//!
//! The archive is read twice. [`survey`] looks at every entry and refuses the archive as a whole before a byte is
//! written; [`unpack`] writes, and does not rely on that: it opens folders one below the other without following a
//! link, and makes files only where nothing is.

mod entries;
mod lookup;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use self::entries::{Item, Kind, each};
use self::lookup::Lookup;
use crate::tree::{Limits, TreeFacts};
use crate::{Error, Result};

/// Smaller archives may unpack to this many bytes whatever their own size is.
const FREE: u64 = 256 << 20;
/// Beyond that an archive unpacks to at most so many times its own size. Text packs to a tenth, deflate reaches 1000.
const RATIO: u64 = 200;

/// What an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub form: Form,
    pub limits: Limits,
}

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A source tree. Links lead nowhere outside of it, files are executable or not and nothing else.
    Source,
    /// A slug: everything lies below `./app`, links may lead anywhere, for only dynos follow them.
    Slug,
}

impl Form {
    /// The folder that everything lies in, and which is not part of the tree.
    fn top(self) -> Option<&'static [u8]> {
        match self {
            Self::Source => None,
            Self::Slug => Some(b"app"),
        }
    }

    fn mode(self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Source if is_folder || mode & 0o100 != 0 => 0o755,
            Self::Source => 0o644,
            Self::Slug => mode & 0o1777,
        }
    }
}

/// Looks at every entry of a tar or tar.gz and writes nothing. `stop` is asked often. Blocking, for as long as
/// unpacking takes.
///
/// # Errors
/// What is no such archive or a damaged one; names that are absolute or hold `..`; devices and pipes; links out of
/// the tree; names that stand in it twice or lie below something that is no folder; more than the limits, or than 200
/// times its own size.
pub fn survey(archive: &File, rules: Rules, stop: &dyn Fn() -> bool) -> Result<TreeFacts> {
    survey_with(archive, rules, stop, FREE)
}

fn survey_with(
    archive: &File,
    rules: Rules,
    stop: &dyn Fn() -> bool,
    free: u64,
) -> Result<TreeFacts> {
    let size = archive
        .metadata()
        .map_err(Error::io("look at", "the archive"))?
        .len();
    let most = free.max(size.saturating_mul(RATIO));
    let mut lookup = Lookup::new(rules);
    each(archive, rules, stop, |item, _| {
        lookup.add(&item)?;
        match lookup.facts.bytes > most {
            true => Err(Error::Bomb { ratio: RATIO }),
            false => Ok(()),
        }
    })?;
    match lookup.facts.entries {
        0 => Err(Error::NoArchive("it holds no files")),
        _ => Ok(lookup.facts),
    }
}

/// Writes what [`survey`] has passed into an empty folder of ours. Setuid and setgid are not kept. Blocking.
pub fn unpack(archive: &File, into: &Path, rules: Rules, stop: &dyn Fn() -> bool) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(into, flags, Mode::empty()).map_err(Error::sys("open", into))?;
    let mut tree = Tree {
        root,
        parent: None,
        rules,
    };
    each(archive, rules, stop, |item, content| {
        tree.put(&item, content)
    })
}

/// The tree that is being written.
struct Tree {
    root: OwnedFd,
    /// The folder that was written to last: entries of one stand together.
    parent: Option<(Vec<u8>, OwnedFd)>,
    rules: Rules,
}

impl Tree {
    fn put(&mut self, item: &Item, content: &mut dyn Read) -> Result<()> {
        let path = Path::new(std::ffi::OsStr::from_bytes(&item.path));
        let written = Error::sys("unpack", path);
        let mode = Mode::from_raw_mode(self.rules.form.mode(item.mode, item.kind == Kind::Folder));
        if let Kind::Folder = item.kind {
            let folder = self.folder(&item.path).map_err(written)?;
            // The tree's own folder stays as it was made.
            if item.path.is_empty() {
                return Ok(());
            }
            let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return rustix::fs::openat(&folder, ".", open, Mode::empty())
                .and_then(|folder| rustix::fs::fchmod(folder, mode))
                .map_err(Error::sys("change the mode of", path));
        }
        let (above, name) = split(&item.path);
        self.enter(above).map_err(Error::sys("unpack", path))?;
        let Some((_, parent)) = &self.parent else {
            return Err(written(Errno::NOENT));
        };
        match &item.kind {
            Kind::Folder => Ok(()),
            Kind::Symlink(target) => {
                rustix::fs::symlinkat(target.as_slice(), parent, name).map_err(written)
            }
            Kind::HardLink(earlier) => {
                let (above, earlier) = split(earlier);
                let from = open_beneath(&self.root, above).map_err(Error::sys("unpack", path))?;
                rustix::fs::linkat(from, earlier, parent, name, AtFlags::empty()).map_err(written)
            }
            Kind::File(size) => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(written)?;
                let mut file = File::from(file);
                let copied = io::copy(&mut content.take(*size), &mut file)
                    .map_err(Error::io("unpack", path))?;
                if copied != *size {
                    return Err(Error::Damaged(io::ErrorKind::UnexpectedEof.into()));
                }
                rustix::fs::fchmod(&file, mode).map_err(Error::sys("change the mode of", path))
            }
        }
    }

    /// Makes `folder` the one that is written to.
    fn enter(&mut self, folder: &[u8]) -> rustix::io::Result<()> {
        if self
            .parent
            .as_ref()
            .is_none_or(|(known, _)| known != folder)
        {
            self.parent = Some((folder.to_vec(), self.folder(folder)?));
        }
        Ok(())
    }

    /// Opens a folder; makes what is missing of it.
    fn folder(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        match open_beneath(&self.root, path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut at = open_beneath(&self.root, b"")?;
        for name in path.split(|byte| *byte == b'/') {
            match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            at = open_beneath(&at, name)?;
        }
        Ok(at)
    }
}

/// A folder at or below `root`; no part of the path is a link.
fn open_beneath(root: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

/// The folder that a path lies in, and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests;
