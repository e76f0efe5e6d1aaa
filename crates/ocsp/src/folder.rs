//! Answers on disk, so that a restart loses none. What lies there is checked as if it had just come.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::answer::MAX;

/// Of the file about one chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn of(chain: &str) -> Self {
        Self(hex::encode(Sha256::digest(chain.as_bytes())))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn read(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.0.join(&name.0)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        // More than an answer may have is none.
        file.take(MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// In the place of what was there. It need not outlive a power cut, so nothing is waited for.
    pub(crate) fn write(&self, name: &Name, answer: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let staged = self.0.join(format!("{}.tmp", name.0));
        File::create(&staged)?.write_all(answer)?;
        fs::rename(staged, self.0.join(&name.0))
    }

    /// Removes all others.
    pub(crate) fn retain(&self, names: &HashSet<Name>) -> io::Result<()> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = Name(entry.file_name().to_string_lossy().into_owned());
            if !names.contains(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_while_their_chain_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("ocsp"));
        let (one, other) = (Name::of("one"), Name::of("other"));
        assert_eq!(folder.read(&one).unwrap(), None);
        folder.retain(&HashSet::new()).unwrap();
        folder.write(&one, b"first").unwrap();
        folder.write(&one, b"second").unwrap();
        folder.write(&other, b"").unwrap();
        folder.retain(&[one.clone()].into()).unwrap();
        assert_eq!(folder.read(&one).unwrap().unwrap(), b"second");
        assert_eq!(folder.read(&other).unwrap(), None);
    }
}
