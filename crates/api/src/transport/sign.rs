//! Addresses that carry their own right: what they open is in them, and a seal that only this installation makes.
//!
//! Nothing is kept in memory for them, so they go on working after the server was killed and started again.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Seals addresses.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// From the installation's secret (the key file's content): the same secret gives the same key, and the key
    /// says nothing of the secret.
    pub fn derive(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"ropewalk addresses 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// `<claims>.<seal>`, safe in a path. `kind` keeps the seals of different things apart.
    pub(crate) fn seal<T: Serialize>(
        &self,
        kind: &str,
        claims: &T,
    ) -> Result<String, serde_json::Error> {
        let body = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
        let seal = hmac::sign(&self.0, format!("{kind}.{body}").as_bytes());
        Ok(format!("{body}.{}", BASE64_URL_SAFE_NO_PAD.encode(seal)))
    }

    /// The claims, if the seal is ours.
    pub(crate) fn open<T: DeserializeOwned>(&self, kind: &str, token: &str) -> Option<T> {
        let (body, seal) = token.split_once('.')?;
        let seal = BASE64_URL_SAFE_NO_PAD.decode(seal).ok()?;
        hmac::verify(&self.0, format!("{kind}.{body}").as_bytes(), &seal).ok()?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }
}

/// The id of a thing that has a name but no row: always the same for the same kind and name.
pub(crate) fn named_id(kind: &str, name: &str) -> Uuid {
    let digest = Sha256::digest(format!("ropewalk {kind} {name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_seal_of_that_kind_opens() {
        let key = SigningKey::derive(b"secret");
        let token = key.seal("output", &("x", 1)).unwrap();
        assert_eq!(key.open("output", &token), Some(("x".to_owned(), 1)));
        assert_eq!(key.open::<(String, i32)>("logs", &token), None);
        let other = SigningKey::derive(b"other");
        assert_eq!(other.open::<(String, i32)>("output", &token), None);
        for index in 0..token.len() {
            let mut broken = token.clone().into_bytes();
            broken[index] ^= 1;
            let broken = String::from_utf8_lossy(&broken).into_owned();
            assert_eq!(
                key.open::<(String, i32)>("output", &broken),
                None,
                "{index}"
            );
        }
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        );
    }
}
