//! The key by which clients know this server: Ed25519, made once, in a file that only the server reads.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;

use crate::{Error, Result};

/// Largest file that is read as a key, in bytes; one of this kind has 400.
const MAX_FILE: u64 = 64 << 10;

/// The server's own key.
#[derive(Clone)]
pub struct HostKey(PrivateKey);

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKey").field(&self.public()).finish()
    }
}

impl HostKey {
    /// Reads the file, or makes it.
    ///
    /// # Errors
    /// A file that cannot be read or written, or holds something else. It is never replaced: clients would believe
    /// that somebody stands between them and the server.
    pub fn open(path: &Path) -> Result<Self> {
        let pem = match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::make(path),
            pem => pem.map_err(Error::io("read", path))?,
        };
        match PrivateKey::from_openssh(&pem) {
            Ok(key) if !key.is_encrypted() => Ok(Self(key)),
            _ => Err(Error::HostKey(path.to_owned())),
        }
    }

    fn make(path: &Path) -> Result<Self> {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&rand::random()));
        let pem = key
            .to_openssh(LineEnding::LF)
            .map_err(|_| Error::HostKey(path.to_owned()))?;
        // Whole or not at all: half a key would be refused ever after.
        let folder = path.parent().unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::Builder::new()
                .prefix(".ssh_host_key")
                .tempfile_in(folder)?;
            file.write_all(pem.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path)?;
            std::fs::File::open(folder)?.sync_all()
        };
        write().map_err(Error::io("write", path))?;
        Ok(Self(key))
    }

    /// Kind and base64, as behind the host in a line of `known_hosts`.
    pub fn public(&self) -> String {
        let text = self.0.public_key().to_openssh().unwrap_or_default();
        text.trim_end().to_owned()
    }

    pub(super) fn private(&self) -> PrivateKey {
        self.0.clone()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    file.take(MAX_FILE).read_to_end(&mut pem)?;
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = HostKey::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(made.public().starts_with("ssh-ed25519 AAAA"));
        assert_eq!(HostKey::open(&path).unwrap().public(), made.public());
        assert!(!format!("{made:?}").contains("PRIVATE"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_key_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(HostKey::open(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "nonsense");
    }
}
