//! What a certificate says, and whether it can be served. No IO, no ledger.

use std::sync::Arc;

use jiff::Timestamp;
use ropewalk_api_types::sni_endpoint::{Revocation, SslCert};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::transport::error::{ApiError, ApiResult};

/// Largest chain, in bytes of PEM.
const MAX_CHAIN: usize = 64 << 10;
/// Largest key, in bytes of PEM.
const MAX_KEY: usize = 16 << 10;
/// Most certificates of a chain.
const MAX_LENGTH: usize = 10;

/// Whether chain and key can be served; tells what is wrong with them.
pub(crate) fn check(chain: &str, key: &str) -> ApiResult<()> {
    if chain.len() > MAX_CHAIN || key.len() > MAX_KEY {
        return Err(ApiError::invalid(
            "The certificate chain is larger than 64 KiB, or the key than 16 KiB.",
        ));
    }
    let certificates = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ApiError::invalid("The certificate chain is not PEM."))?;
    if certificates.is_empty() || certificates.len() > MAX_LENGTH {
        return Err(ApiError::invalid(format!(
            "The chain must hold 1 to {MAX_LENGTH} certificates in PEM, the server's own first."
        )));
    }
    let leaf = certificates[0].clone();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
        ApiError::invalid(
            "The private key is not PEM, or it is encrypted: it must have no passphrase.",
        )
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    CertifiedKey::from_der(certificates, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => ApiError::invalid(
            "The private key does not belong to the first certificate of the chain.",
        ),
        error => ApiError::invalid(format!("Certificate and key cannot be used: {error}.")),
    })?;
    let said = read(&leaf)?;
    if said.names.is_empty() {
        return Err(ApiError::invalid(
            "The certificate names no host (it has no subject alternative name).",
        ));
    }
    if said.expires_at <= Timestamp::now() {
        return Err(ApiError::invalid(format!(
            "The certificate expired on {}.",
            said.expires_at
        )));
    }
    Ok(())
}

/// Whether the certificate is good for a host name, `*.zone` included.
pub(crate) fn covers(chain: &str, hostname: &str) -> ApiResult<bool> {
    let zone = hostname
        .split_once('.')
        .map(|(_, zone)| format!("*.{zone}"));
    let said = read(&leaf(chain)?)?;
    Ok(said.names.iter().any(|name| {
        let name = name.to_ascii_lowercase();
        name == hostname || Some(&name) == zone.as_ref()
    }))
}

/// As clients are shown it.
pub(crate) fn wire(
    id: Uuid,
    chain: &str,
    acm: bool,
    revocation: Option<Revocation>,
) -> ApiResult<SslCert> {
    let said = read(&leaf(chain)?)?;
    let self_signed = said.issuer == said.subject;
    Ok(SslCert {
        id,
        ca_signed: !self_signed,
        self_signed,
        acm,
        cert_domains: said.names,
        issuer: said.issuer,
        subject: said.subject,
        starts_at: said.starts_at,
        expires_at: said.expires_at,
        revocation,
    })
}

struct Said {
    names: Vec<String>,
    issuer: String,
    subject: String,
    starts_at: Timestamp,
    expires_at: Timestamp,
}

fn leaf(chain: &str) -> ApiResult<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|error| ApiError::internal(&error))
}

fn read(leaf: &CertificateDer<'_>) -> ApiResult<Said> {
    let unreadable = || ApiError::invalid("The certificate is not an X.509 certificate.");
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    let alternative = parsed
        .subject_alternative_name()
        .map_err(|_| unreadable())?;
    let names = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    let time = |at: x509_parser::time::ASN1Time| {
        Timestamp::from_second(at.timestamp()).map_err(|_| unreadable())
    };
    Ok(Said {
        names,
        issuer: parsed.issuer().to_string(),
        subject: parsed.subject().to_string(),
        starts_at: time(parsed.validity().not_before)?,
        expires_at: time(parsed.validity().not_after)?,
    })
}
