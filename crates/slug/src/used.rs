//! How much a tree that strangers write takes of its disk. Nothing is changed, and no symbolic link is followed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

/// Files that are counted; of more it is known that they are too many.
const MOST_FILES: u64 = 1_000_000;
/// Folders below one another. Each is held open while those in it are counted.
const DEEPEST: usize = 200;
/// `st_blocks` counts in these, whatever the file system's blocks are (stat(2)).
const BLOCK: u64 = 512;

/// What a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Bytes of the disk; a file with several names counts once, holes do not.
    pub bytes: u64,
    /// Files, folders and whatever else has a name.
    pub files: u64,
    /// There are more files, or folders below one another, than are counted.
    pub beyond: bool,
}

/// Counts a tree, without the folder itself. What goes meanwhile is left out. Blocking: a million files take seconds.
///
/// # Errors
/// Only where the folder itself cannot be opened.
pub fn used(folder: &Path) -> io::Result<Used> {
    let mut count = Count::default();
    count.folder(File::open(folder)?.into(), 0);
    Ok(count.used)
}

#[derive(Default)]
struct Count {
    used: Used,
    /// Of files with several names, those that are counted.
    linked: HashSet<u64>,
}

impl Count {
    fn folder(&mut self, folder: OwnedFd, depth: usize) {
        let Ok(mut entries) = Dir::read_from(&folder) else {
            return;
        };
        while let Some(Ok(entry)) = entries.next() {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if self.used.files >= MOST_FILES || depth >= DEEPEST {
                self.used.beyond = true;
                return;
            }
            let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            self.used.files += 1;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_folder || stat.st_nlink == 1 || self.linked.insert(stat.st_ino) {
                let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
                self.used.bytes = self.used.bytes.saturating_add(blocks.saturating_mul(BLOCK));
            }
            if is_folder {
                let how = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
                if let Ok(inner) = rustix::fs::openat(&folder, name, how, Mode::empty()) {
                    self.folder(inner, depth + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_count_by_what_they_take_and_links_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(used(root).unwrap(), Used::default());
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/large"), vec![7; 3 << 20]).unwrap();
        fs::hard_link(root.join("a/b/large"), root.join("again")).unwrap();
        std::os::unix::fs::symlink("/", root.join("everything")).unwrap();
        File::create(root.join("hole"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let found = used(root).unwrap();
        assert_eq!(found.files, 6);
        assert!((3 << 20..4 << 20).contains(&found.bytes), "{}", found.bytes);
        assert!(!found.beyond);
        assert!(used(&root.join("missing")).is_err());
    }

    #[test]
    fn a_tree_too_deep_to_be_counted_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut at: OwnedFd = File::open(dir.path()).unwrap().into();
        let how = OFlags::DIRECTORY | OFlags::RDONLY;
        for _ in 0..=DEEPEST {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", how, Mode::empty()).unwrap();
        }
        assert!(used(dir.path()).unwrap().beyond);
    }
}
