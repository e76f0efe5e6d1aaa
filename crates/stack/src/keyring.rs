//! The keys by which Debian's archive is known: those of the host and the stack's own.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Error, Result};

/// Where hosts have the keys of Debian's archive.
const OF_HOST: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Longest key of a stack, in base64.
const MAX_KEY: usize = 64 << 10;

/// The bytes of a key that a stack describes; blanks and line ends in it say nothing.
pub(crate) fn read(key: &str) -> std::result::Result<Vec<u8>, String> {
    if key.len() > MAX_KEY {
        return Err(format!("archive_key is longer than {MAX_KEY} bytes"));
    }
    let text: String = key.split_ascii_whitespace().collect();
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| format!("archive_key is no base64: {error}"))?;
    match is_packet(&bytes) {
        true => Ok(bytes),
        false => Err("archive_key is no OpenPGP key".to_owned()),
    }
}

/// A file with both kinds of keys for `debootstrap` to read: the host's own, where the stack brings none. `None` when there
/// are no keys at all. `key` was checked when the stack was read.
pub(crate) fn write(key: Option<&str>, folder: &Path) -> Result<Option<PathBuf>> {
    let host = fs::read(OF_HOST).ok();
    let Some(own) = key.and_then(|key| read(key).ok()) else {
        return Ok(host.map(|_| PathBuf::from(OF_HOST)));
    };
    // One keyring is put behind another as it is, where it is made of packets and no database.
    let mut all = host.filter(|host| is_packet(host)).unwrap_or_default();
    all.extend(own);
    let path = folder.join("archive.gpg");
    fs::write(&path, all).map_err(Error::io("write", &path))?;
    Ok(Some(path))
}

/// Whether a public key begins here (RFC 9580, 4.2): tag 6, in the new or the old form.
fn is_packet(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|first| *first == 0xc6 || (0x98..=0x9b).contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_what_is_none_refused() {
        assert_eq!(read("\nmDME\n").unwrap(), [0x98, 0x33, 0x04]);
        for bad in ["", "mDME!", "AAAA", &"A".repeat(MAX_KEY + 1)] {
            assert!(read(bad).is_err(), "{bad:.10}");
        }
    }

    #[test]
    fn the_stacks_key_lies_behind_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(Some("mDME"), folder.path()).unwrap().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.ends_with(&[0x98, 0x33, 0x04]));
        assert!(is_packet(&bytes));
    }
}
