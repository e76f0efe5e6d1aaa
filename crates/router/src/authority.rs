//! A certificate authority of this machine alone: makes HTTPS work for names below `localhost`, for which nobody
//! else issues certificates.
//!
//! Its key never leaves its folder, and what it may sign is bounded in its own certificate, so whoever trusts it
//! trusts it for names of this machine only. Certificates are made when a client asks for a name, and kept in memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::RouterError;
use crate::saved::replace;

/// The authority's certificate, for clients to trust.
pub const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";

/// For which the authority's certificate is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// For which a name's certificate is valid, and after which a new one is made.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
const RENEW: Duration = Duration::from_secs(30 * 86_400);
/// Clocks differ: certificates begin a little in the past.
const SKEW: Duration = Duration::from_secs(3_600);
/// Certificates kept in memory; names beyond it are signed anew.
const KEPT: usize = 10_000;

/// The authority, ready to sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<String, (Instant, Arc<CertifiedKey>)>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(..)")
    }
}

impl Authority {
    /// Opens the authority in `folder`, making it at first.
    ///
    /// # Errors
    /// [`RouterError::Authority`] when the folder cannot be used or holds something else.
    pub(crate) fn open(
        folder: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Authority, RouterError> {
        let fail = |source: Failure| RouterError::Authority {
            folder: folder.to_owned(),
            source,
        };
        let issuer = open(folder).map_err(fail)?;
        Ok(Authority {
            issuer,
            provider,
            made: Mutex::default(),
        })
    }

    /// A certificate for a host name or an address of this machine.
    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, certified)) = made.get(name)
            && at.elapsed() < RENEW
        {
            return Some(Arc::clone(certified));
        }
        let certified = match self.sign(name) {
            Ok(certified) => Arc::new(certified),
            Err(error) => {
                tracing::warn!(%error, "A certificate of the local authority could not be made.");
                return None;
            }
        };
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(name.to_owned(), (Instant::now(), Arc::clone(&certified)));
        Some(certified)
    }

    fn sign(&self, name: &str) -> Result<CertifiedKey, Failure> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.subject_alt_names = vec![match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into()?),
        }];
        // Clients that name nobody (no SNI) are on this machine and check one of these.
        if name == LOOPBACK {
            params.subject_alt_names.extend([
                SanType::IpAddress(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
                SanType::DnsName("localhost".try_into()?),
            ]);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, LIFE);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(CertifiedKey::from_der(chain, key, &self.provider)?)
    }
}

/// What a client that names no host is taken to want.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

fn open(folder: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    if !certificate.exists() || !key.exists() {
        make(folder, &certificate, &key)?;
    }
    let key = KeyPair::from_pem(&fs::read_to_string(key)?)?;
    Ok(Issuer::from_ca_cert_pem(
        &fs::read_to_string(certificate)?,
        key,
    )?)
}

fn make(folder: &Path, certificate: &Path, key: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Ropewalk local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
            GeneralSubtree::IpAddress(CidrSubnet::V6(LOOPBACK_V6, [255; 16])),
        ],
        excluded_subtrees: Vec::new(),
    });
    lasting(&mut params, AUTHORITY_LIFE);
    let made = params.self_signed(&pair)?;
    // The certificate last: with it the pair is whole.
    replace(key, pair.serialize_pem().as_bytes(), 0o600)?;
    replace(certificate, made.pem().as_bytes(), 0o644)?;
    Ok(())
}

const LOOPBACK_V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

fn lasting(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::provider;

    #[test]
    fn it_is_made_once_and_signs_for_names_of_this_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Authority::open(folder.path(), provider()).expect("an authority");
        let text = fs::read(folder.path().join(CERTIFICATE)).expect("a certificate");
        let again = Authority::open(folder.path(), provider()).expect("the same");
        assert_eq!(
            fs::read(folder.path().join(CERTIFICATE)).expect("a certificate"),
            text
        );
        for authority in [&first, &again] {
            for name in [LOOPBACK, "api.localhost", "::1"] {
                let made = authority.certificate(name).expect("a certificate");
                let kept = authority.certificate(name).expect("a certificate");
                assert!(Arc::ptr_eq(&made, &kept), "{name}");
            }
        }
        use std::os::unix::fs::PermissionsExt;
        let key = fs::metadata(folder.path().join(KEY)).expect("a key");
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_name_gets_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::open(folder.path(), provider()).expect("an authority");
        assert!(authority.certificate("ü.localhost").is_none());
    }
}
