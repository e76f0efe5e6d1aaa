//! Sealing of config vars: AES-256-GCM-SIV under the installation's key file.
//!
//! A sealed value is `1 ‖ nonce (12) ‖ ciphertext ‖ tag`; the first byte names the key and the layout, so that
//! both can change. The context (which row it belongs to) is authenticated, so a value cannot be moved.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

use crate::{Result, StoreError};

const LAYOUT: u8 = 1;
const NONCE: usize = 12;

/// The installation's key.
pub struct Key(LessSafeKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads the key file, or makes one (mode 0600) where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| StoreError::KeyFile {
            path: path.to_owned(),
            source,
        };
        let mut text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = hex::encode(rand::random::<[u8; 32]>());
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
                    .map_err(io)?;
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(io)?;
                text
            }
            Err(error) => return Err(io(error)),
        };
        let mut bytes = [0u8; 32];
        let decoded = hex::decode_to_slice(text.trim(), &mut bytes);
        text.zeroize();
        decoded.map_err(|_| StoreError::KeyFormat {
            path: path.to_owned(),
        })?;
        let key = Self::from_bytes(&bytes);
        bytes.zeroize();
        key.ok_or_else(|| StoreError::KeyFormat {
            path: path.to_owned(),
        })
    }

    fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM_SIV, bytes)
            .ok()
            .map(|key| Self(LessSafeKey::new(key)))
    }

    pub(crate) fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = rand::random();
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| StoreError::Unseal)?;
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(LAYOUT);
        out.extend_from_slice(&nonce);
        out.append(&mut sealed);
        Ok(out)
    }

    pub(crate) fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let (head, body) = sealed
            .split_at_checked(1 + NONCE)
            .ok_or(StoreError::Unseal)?;
        if head[0] != LAYOUT {
            return Err(StoreError::Unseal);
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[1..]).map_err(|_| StoreError::Unseal)?;
        let mut buffer = body.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer)
            .map_err(|_| StoreError::Unseal)?
            .len();
        buffer.truncate(plain);
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_in_its_place_and_unchanged() {
        let key = Key::from_bytes(&[7; 32]).unwrap();
        let sealed = key.seal("app 1", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        assert_eq!(key.unseal("app 1", &sealed).unwrap(), b"hunter2");
        assert!(key.unseal("app 2", &sealed).is_err());
        assert!(key.unseal("app 1", &sealed[..5]).is_err());
        for index in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[index] ^= 1;
            assert!(key.unseal("app 1", &broken).is_err(), "byte {index}");
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let sealed = Key::open(&path).unwrap().seal("x", b"y").unwrap();
        assert_eq!(
            Key::open(&path).unwrap().unseal("x", &sealed).unwrap(),
            b"y"
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&path, "short").unwrap();
        assert!(matches!(
            Key::open(&path),
            Err(StoreError::KeyFormat { .. })
        ));
    }
}
