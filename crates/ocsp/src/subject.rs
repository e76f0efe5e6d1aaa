//! Whom to ask about a certificate, and what. No IO.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use http::Uri;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{CertId, OcspRequest, Request, TbsRequest, Version};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::FromDer;

/// Most certificates of a chain that are looked at.
const MAX_CHAIN: usize = 10;
/// Longest address of a responder, in bytes.
const MAX_ADDRESS: usize = 1024;
/// Features of TLS that the server of a certificate must have (RFC 7633, 4).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// Among them that of stapling: `status_request` (RFC 6066, 8).
const STATUS_REQUEST: u32 = 5;
/// SHA-1. It only names an issuer here, and others are understood by few responders (RFC 5019, 2.1.1).
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// What a chain says about its first certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Clients that know of it refuse the certificate without an answer.
    pub(crate) must_staple: bool,
    pub(crate) way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// It names no responder, as those of many authorities.
    Nobody,
    /// It names one that cannot be asked.
    Unusable(&'static str),
    Ask(Box<Asked>),
}

/// All it takes to ask, and to judge what is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) responder: Responder,
    pub(crate) id: CertId,
    /// DER, without a nonce: an answer is everybody's (RFC 5019, 2.1.1).
    pub(crate) request: Vec<u8>,
    /// Who issued the certificate; DER.
    pub(crate) issuer: CertificateDer<'static>,
}

/// Where it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Responder {
    /// As it is looked up; an address of IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For the header `Host`.
    pub(crate) authority: String,
    /// With what stands behind a `?`.
    pub(crate) path: String,
}

#[derive(Debug, Error)]
#[error("not a certificate in PEM")]
pub(crate) struct Unreadable;

impl Subject {
    /// Of a chain in PEM, the server's own certificate first.
    pub(crate) fn of(chain: &str) -> Result<Self, Unreadable> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .take(MAX_CHAIN)
            .collect::<Result<_, _>>()
            .map_err(|_| Unreadable)?;
        let (leaf, others) = chain.split_first().ok_or(Unreadable)?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| Unreadable)?;
        Ok(Self {
            must_staple: must_staple(&leaf),
            way: way(&leaf, others),
        })
    }

    /// About the certificate of [`Self::of`], if anybody can be asked.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        match &self.way {
            Way::Ask(asked) => Some(asked),
            Way::Nobody | Way::Unusable(_) => None,
        }
    }
}

fn must_staple(leaf: &X509Certificate<'_>) -> bool {
    leaf.extensions()
        .iter()
        .filter(|extension| extension.oid.to_id_string() == TLS_FEATURE)
        .filter_map(|extension| <Vec<u32> as Decode>::from_der(extension.value).ok())
        .any(|features| features.contains(&STATUS_REQUEST))
}

fn way(leaf: &X509Certificate<'_>, others: &[CertificateDer<'static>]) -> Way {
    let named: Vec<&str> = named(leaf).collect();
    if named.is_empty() {
        return Way::Nobody;
    }
    let Some(responder) = named.into_iter().find_map(Responder::parse) else {
        return Way::Unusable("it names a responder that is not reached by plain HTTP");
    };
    let issued = |other: &&CertificateDer<'static>| {
        X509Certificate::from_der(other).is_ok_and(|(_, other)| is_issuer(&other, leaf))
    };
    let Some(issuer) = others.iter().find(issued) else {
        return Way::Unusable("its chain lacks the certificate of who issued it");
    };
    match question(leaf, issuer) {
        Ok((id, request)) => Way::Ask(Box::new(Asked {
            responder,
            id,
            request,
            issuer: issuer.clone(),
        })),
        Err(_) => Way::Unusable("its serial number cannot be asked about"),
    }
}

/// Addresses of responders (RFC 5280, 4.2.2.1).
fn named<'a>(leaf: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    leaf.extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => Some(access),
            _ => None,
        })
        .flat_map(|access| &access.accessdescs)
        .filter(|access| access.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP)
        .filter_map(|access| match access.access_location {
            GeneralName::URI(address) => Some(address),
            _ => None,
        })
}

pub(crate) fn is_issuer(issuer: &X509Certificate<'_>, of: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == of.issuer().as_raw()
        && of.verify_signature(Some(issuer.public_key())).is_ok()
}

fn question(
    leaf: &X509Certificate<'_>,
    issuer: &CertificateDer<'_>,
) -> Result<(CertId, Vec<u8>), x509_cert::der::Error> {
    let key = match X509Certificate::from_der(issuer) {
        Ok((_, issuer)) => sha1(&issuer.public_key().subject_public_key.data),
        Err(_) => return Err(x509_cert::der::ErrorKind::Failed.into()),
    };
    let id = CertId {
        hash_algorithm: AlgorithmIdentifierOwned {
            oid: SHA1,
            parameters: Some(Null.into()),
        },
        issuer_name_hash: OctetString::new(sha1(leaf.issuer().as_raw()))?,
        issuer_key_hash: OctetString::new(key)?,
        serial_number: serial(leaf.raw_serial())?,
    };
    let request = OcspRequest {
        tbs_request: TbsRequest {
            version: Version::V1,
            requestor_name: None,
            request_list: vec![Request {
                req_cert: id.clone(),
                single_request_extensions: None,
            }],
            request_extensions: None,
        },
        optional_signature: None,
    };
    Ok((id, request.to_der()?))
}

/// Of the bytes of an INTEGER.
fn serial(bytes: &[u8]) -> Result<SerialNumber, x509_cert::der::Error> {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    if length > 127 {
        return Err(x509_cert::der::ErrorKind::Overlength.into());
    }
    SerialNumber::from_der(&[&[2, length], bytes].concat())
}

pub(crate) fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

impl Responder {
    /// An answer is signed, so it needs no TLS, and authorities offer none: whose certificate would be checked with it?
    fn parse(address: &str) -> Option<Self> {
        if address.len() > MAX_ADDRESS {
            return None;
        }
        let uri: Uri = address.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        let plain = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Some(Self {
            host: plain.unwrap_or(host).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_responder_is_reached_by_plain_http() {
        let responder = Responder::parse("http://ocsp.example.com/r?x").unwrap();
        assert_eq!(
            (responder.host.as_str(), responder.port),
            ("ocsp.example.com", 80)
        );
        assert_eq!(responder.path, "/r?x");
        let responder = Responder::parse("HTTP://[::1]:8080").unwrap();
        assert_eq!((responder.host.as_str(), responder.port), ("::1", 8080));
        assert_eq!(
            (responder.authority.as_str(), responder.path.as_str()),
            ("[::1]:8080", "/")
        );
        let long = format!("http://a/{}", "a".repeat(MAX_ADDRESS));
        for bad in [
            "",
            "ocsp.example.com",
            "https://ocsp.example.com",
            "ldap://ocsp.example.com",
            "http://user@ocsp.example.com",
            "http://a b",
            &long,
        ] {
            assert_eq!(Responder::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn text_that_is_no_chain_has_no_subject() {
        for text in [
            "",
            "nothing",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            assert!(Subject::of(text).is_err());
        }
    }
}
