//! What a certificate says, and the request for one. No IO.

use instant_acme::CertificateIdentifier;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What the first certificate of a chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub names: Vec<String>,
    pub from: Timestamp,
    pub until: Timestamp,
}

#[derive(Debug, Error)]
#[error("not a certificate in PEM")]
pub struct Unreadable;

/// Before its end a certificate should be replaced by so much.
pub(crate) const WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

impl Said {
    /// Whether it ends so soon that somebody should know.
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        is_near(self.from, self.until, WARNING, now)
    }

    /// Of a chain in PEM.
    pub fn of(chain: &str) -> Result<Self, Unreadable> {
        let leaf = leaf(chain)?;
        let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| Unreadable)?;
        let alternative = parsed.subject_alternative_name().map_err(|_| Unreadable)?;
        let names = alternative
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        let validity = parsed.validity();
        let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|_| Unreadable);
        Ok(Self {
            names,
            from: time(validity.not_before.timestamp())?,
            until: time(validity.not_after.timestamp())?,
        })
    }
}

/// Within `warning` of its end, and less for a certificate of a few days: it is not in danger all its life.
pub(crate) fn is_near(
    from: Timestamp,
    until: Timestamp,
    warning: SignedDuration,
    now: Timestamp,
) -> bool {
    let life = until.duration_since(from);
    until.duration_since(now) <= warning.min(life / 6)
}

fn leaf(chain: &str) -> Result<CertificateDer<'static>, Unreadable> {
    CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|_| Unreadable)
}

/// By what the authority knows it, if it says so of itself.
pub(crate) fn id(chain: &str) -> Option<CertificateIdentifier<'static>> {
    let leaf = leaf(chain).ok()?;
    let id = CertificateIdentifier::try_from(&leaf).ok()?;
    Some(id.into_owned())
}

/// A request for a certificate for one name.
pub(crate) struct Request {
    /// DER.
    pub(crate) csr: Vec<u8>,
    /// PEM.
    pub(crate) key: String,
}

impl Request {
    pub(crate) fn new(host: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        Ok(Self {
            csr: params.serialize_request(&key)?.der().to_vec(),
            key: key.serialize_pem(),
        })
    }
}

/// The certificate that shows an authority over TLS that a name leads here (RFC 8737, 3): chain and key, PEM.
pub(crate) fn proof(host: &str, digest: &[u8; 32]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read() {
        let key = KeyPair::generate().unwrap();
        let names = vec!["WWW.example.com".to_owned(), "*.example.com".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let said = Said::of(&params.self_signed(&key).unwrap().pem()).unwrap();
        assert_eq!(
            said,
            Said {
                names: vec!["www.example.com".to_owned(), "*.example.com".to_owned()],
                from: "2026-01-01T00:00:00Z".parse().unwrap(),
                until: "2026-04-01T00:00:00Z".parse().unwrap(),
            }
        );
        assert!(Said::of("nothing").is_err());
        let soon = |at: &str| said.ends_soon(at.parse().unwrap());
        assert!(!soon("2026-03-17T00:00:00Z") && soon("2026-03-18T00:00:00Z"));
        assert!(soon("2027-01-01T00:00:00Z"));
    }
}
