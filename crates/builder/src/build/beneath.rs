//! Reads files that strangers wrote: links are followed only inside the tree, pipes and devices not at all, and never
//! more than a limit.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Up to `most + 1` bytes of a regular file below `root`, so that one byte too many can be told; `None` when there is
/// no such file, or what is there is none or lies outside.
pub(crate) fn read(root: &Path, name: &str, most: usize) -> Result<Option<Vec<u8>>> {
    let path = root.join(name);
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match rustix::fs::open(root, folder, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(Error::io("open", root)(error.into())),
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(root, name, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("open", &path)(error.into())),
    };
    if !file
        .metadata()
        .map_err(Error::io("look at", &path))?
        .is_file()
    {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    match file.take(most as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Whether it is a directory and not a link to one.
pub(crate) fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_nowhere_outside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "no").unwrap();
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        std::fs::create_dir(root.join("config")).unwrap();
        std::fs::write(root.join("config/Procfile"), "web: x").unwrap();
        symlink("config/Procfile", root.join("inside")).unwrap();
        symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
        symlink("../../../../etc/passwd", root.join("relative")).unwrap();
        symlink(outside.path(), root.join("folder")).unwrap();
        assert_eq!(read(root, "inside", 100).unwrap().unwrap(), b"web: x");
        for name in ["absolute", "relative", "folder/secret", "config", "none"] {
            assert_eq!(read(root, name, 100).unwrap(), None, "{name}");
        }
        assert_eq!(read(&root.join("folder"), "secret", 100).unwrap(), None);
        assert_eq!(read(root, "inside", 3).unwrap().unwrap().len(), 4);
        assert!(is_folder(&root.join("config")) && !is_folder(&root.join("folder")));
    }
}
