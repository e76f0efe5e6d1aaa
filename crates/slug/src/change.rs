//! What has to lie over one tree so that it shows another: what is new or different, and a mark for what is gone, in the
//! way in which the kernel's overlays read a lower folder.
//!
//! What is worth being laid over another is decided by whoever packs.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, makedev, mknodat, openat2};

use crate::listing::{Item, Listing, What, is_below, order};
use crate::{Error, Result};

/// The difference of two trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    lay: Vec<Lay>,
    /// Bytes of the files that are new or different.
    pub bytes: u64,
    /// Bytes of the old tree's files that are gone or covered.
    pub covered: u64,
}

/// One name of what lies above.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lay {
    path: PathBuf,
    mode: u16,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    Link(PathBuf),
    /// Of so many bytes.
    File(u64),
    /// The old tree has it, and the new one has not.
    Gone,
}

impl Change {
    /// What makes `old` to `new`.
    pub fn between(old: &Listing, new: &Listing) -> Self {
        let mut merge = Merge::default();
        let (mut olds, mut news) = (old.items().peekable(), new.items().peekable());
        loop {
            let which = match (olds.peek(), news.peek()) {
                (None, None) => return merge.change,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(old), Some(new)) => order(old.path, new.path),
            };
            let old = which.is_le().then(|| olds.next()).flatten();
            let new = which.is_ge().then(|| news.next()).flatten();
            merge.step(old, new);
        }
    }

    /// Names that would have to be laid over the old tree, folders on the way to them included.
    pub fn names(&self) -> usize {
        self.lay.len()
    }

    /// Writes into the empty folder `to` what has to lie over the old tree; `tree` is the new one. Blocking.
    ///
    /// Nobody may write to either meanwhile.
    pub fn lay_out(&self, tree: &Path, to: &Path) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = rustix::fs::open(tree, flags, Mode::empty()).map_err(Error::sys("open", tree))?;
        for lay in &self.lay {
            let path = to.join(&lay.path);
            match &lay.kind {
                // Its own mode might not let anything be put into it.
                Kind::Folder => fs::create_dir(&path).map_err(Error::io("make", &path))?,
                Kind::Link(target) => symlink(target, &path).map_err(Error::io("make", &path))?,
                Kind::Gone => mknodat(
                    CWD,
                    &path,
                    FileType::CharacterDevice,
                    Mode::empty(),
                    makedev(0, 0),
                )
                .map_err(Error::sys("make", &path))?,
                Kind::File(size) => {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                    let from = openat2(&top, &lay.path, flags, Mode::empty(), inside)
                        .map_err(Error::sys("open", &lay.path))?;
                    copy(fs::File::from(from), &path, *size)
                        .map_err(Error::io("copy", &lay.path))?;
                    set_mode(&path, lay.mode)?;
                }
            }
        }
        let folders = self.lay.iter().filter(|lay| lay.kind == Kind::Folder);
        for lay in folders.rev() {
            set_mode(&to.join(&lay.path), lay.mode)?;
        }
        Ok(())
    }
}

fn copy(mut from: fs::File, to: &Path, size: u64) -> io::Result<()> {
    let mut to = fs::File::create_new(to)?;
    match io::copy(&mut from, &mut to)? == size {
        true => Ok(()),
        false => Err(io::Error::other("it changed while it was read")),
    }
}

fn set_mode(path: &Path, mode: u16) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode.into()))
        .map_err(Error::io("change the mode of", path))
}

/// Where the comparison stands.
#[derive(Debug, Default)]
struct Merge<'a> {
    change: Change,
    /// The new tree's folders in which it stands, and whether they are laid already.
    above: Vec<(Item<'a>, bool)>,
    /// What lies below this in the old tree is covered by what was laid.
    covered: Option<&'a [u8]>,
}

impl<'a> Merge<'a> {
    /// The next name, as either tree has it.
    fn step(&mut self, old: Option<Item<'a>>, new: Option<Item<'a>>) {
        let Some(path) = old.or(new).map(|item| item.path) else {
            return;
        };
        while self
            .above
            .last()
            .is_some_and(|(folder, _)| !is_below(path, folder.path))
        {
            self.above.pop();
        }
        let same = old == new;
        if let Some(old) = old.filter(|_| !same) {
            self.change.covered += old.size();
        }
        match (old, new) {
            (Some(old), None) => self.gone(old),
            (old, Some(new)) => {
                if !same {
                    self.lay(new);
                }
                let was_folder = old.is_some_and(|old| old.what == What::Folder);
                match new.what {
                    What::Folder => self.above.push((new, !same)),
                    _ if was_folder => self.covered = Some(new.path),
                    _ => {}
                }
            }
            (None, None) => {}
        }
    }

    fn gone(&mut self, old: Item<'a>) {
        if self
            .covered
            .is_some_and(|covered| is_below(old.path, covered))
        {
            return;
        }
        self.covered = Some(old.path);
        self.reach();
        self.push(old, Kind::Gone);
    }

    fn lay(&mut self, new: Item<'a>) {
        self.reach();
        self.change.bytes += new.size();
        self.push(new, kind(new));
    }

    /// Lays the folders in which the comparison stands.
    fn reach(&mut self) {
        for at in 0..self.above.len() {
            let (folder, laid) = self.above[at];
            if !laid {
                self.push(folder, Kind::Folder);
                self.above[at].1 = true;
            }
        }
    }

    fn push(&mut self, item: Item<'a>, kind: Kind) {
        self.change.lay.push(Lay {
            path: OsStr::from_bytes(item.path).into(),
            mode: item.mode,
            kind,
        });
    }
}

fn kind(item: Item<'_>) -> Kind {
    match item.what {
        What::Folder => Kind::Folder,
        What::Link(target) => Kind::Link(OsStr::from_bytes(target).into()),
        What::File { size, .. } => Kind::File(size),
    }
}

#[cfg(test)]
mod tests;
