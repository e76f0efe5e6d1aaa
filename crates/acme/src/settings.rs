//! Which authority is asked, and as whom.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use zeroize::Zeroizing;

/// Largest file with authorities to trust, in bytes.
const MAX_ROOTS: u64 = 4 << 20;
/// Largest file with a key of an external account, in bytes.
const MAX_KEY: u64 = 4 << 10;

/// Where certificates come from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority's directory, https.
    pub directory: String,
    /// Where it writes to when something is wrong.
    pub email: Option<String>,
    /// An account elsewhere that the authority knows us by.
    pub external: Option<External>,
    /// Whose certificates the authority's own server may have.
    pub roots: RootCertStore,
    /// Sets TXT records.
    pub hook: Option<PathBuf>,
}

/// An account that the authority's operator gave out, to be bound to ours (RFC 8555, 7.3.4).
#[derive(Clone)]
pub struct External {
    pub key_id: String,
    /// Of the HMAC.
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for External {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("External")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("{path} could not be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is larger than {most} bytes")]
    TooLarge { path: PathBuf, most: u64 },
    #[error("{path} holds no certificate in PEM")]
    NoRoot { path: PathBuf },
    #[error("{path} holds no key in base64url")]
    NoKey { path: PathBuf },
}

impl External {
    /// The key is in a file, in base64url, as authorities give it out.
    pub fn read(key_id: String, file: &Path) -> Result<Self, SettingsError> {
        let text = Zeroizing::new(read(file, MAX_KEY)?);
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let key = BASE64_URL_SAFE_NO_PAD
            .decode(text.trim().trim_end_matches('='))
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| SettingsError::NoKey {
                path: file.to_owned(),
            })?;
        Ok(Self {
            key_id,
            key: Zeroizing::new(key),
        })
    }
}

/// The authorities that the host trusts, and those of `file`.
pub fn roots(file: Option<&Path>) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(file) = file else {
        return Ok(roots);
    };
    let text = read(file, MAX_ROOTS)?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .unwrap_or_default();
    let (taken, _) = roots.add_parsable_certificates(found);
    if taken == 0 {
        return Err(SettingsError::NoRoot {
            path: file.to_owned(),
        });
    }
    Ok(roots)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, SettingsError> {
    let fail = |source| SettingsError::Read {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(fail)?.len() > most {
        return Err(SettingsError::TooLarge {
            path: path.to_owned(),
            most,
        });
    }
    std::fs::read(path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_padding_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        for text in ["aGVsbG8", "aGVsbG8=\n", " aGVsbG8= "] {
            std::fs::write(&file, text).unwrap();
            let external = External::read("kid".to_owned(), &file).unwrap();
            assert_eq!(external.key.as_slice(), b"hello");
            assert!(!format!("{external:?}").contains("104"), "{external:?}");
        }
        for bad in ["", "no base64!", &"a".repeat(5000)] {
            std::fs::write(&file, bad).unwrap();
            External::read("kid".to_owned(), &file).unwrap_err();
        }
        External::read("kid".to_owned(), &dir.path().join("none")).unwrap_err();
    }

    #[test]
    fn a_file_without_authorities_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots");
        std::fs::write(&file, "nothing").unwrap();
        let error = roots(Some(&file)).unwrap_err();
        assert!(matches!(error, SettingsError::NoRoot { .. }), "{error}");
    }
}
