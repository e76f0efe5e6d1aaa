//! What an authority answered: whether it holds, and what it says. No IO, no clock.

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use x509_cert::der::asn1::{ContextSpecific, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, TagNumber};
use x509_ocsp::{
    CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus, ResponderId,
    ResponseData, SingleResponse,
};
use x509_parser::asn1_rs::BitString;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::FromDer;
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use crate::subject::{Asked, is_issuer, sha1};

/// Largest answer, in bytes. They have some hundred, and some thousand with the certificate of who signed.
pub(crate) const MAX: usize = 64 << 10;
/// Certificates in an answer that are looked at.
const MAX_CERTIFICATES: usize = 8;
/// The only form of answers that there is (RFC 6960, 4.2.1).
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// How far clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How long an answer holds that does not say until when: there is always a newer one (RFC 6960, 4.2.2.1).
const UNSAID: SignedDuration = SignedDuration::from_hours(24);

/// One that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Revoked {
        at: Timestamp,
        reason: Option<&'static str>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum AnswerError {
    #[error("the answer cannot be read")]
    Malformed,
    #[error("it does not answer: {0}")]
    Refused(&'static str),
    #[error("the answer is about another certificate")]
    Other,
    #[error("it does not know the certificate")]
    Unknown,
    #[error("the answer is not signed by the certificate's issuer or in its name")]
    Signer,
    #[error("the answer is of the future")]
    Future,
    #[error("the answer is out of date")]
    Old,
}

/// Holds `answer` against what was asked (RFC 6960, 3.2).
pub(crate) fn check(answer: &[u8], asked: &Asked, now: Timestamp) -> Result<Answer, AnswerError> {
    if answer.len() > MAX {
        return Err(AnswerError::Malformed);
    }
    let outer = OcspResponse::from_der(answer).map_err(malformed)?;
    if let Some(why) = refused(outer.response_status) {
        return Err(AnswerError::Refused(why));
    }
    let inner = outer
        .response_bytes
        .filter(|inner| inner.response_type == BASIC)
        .ok_or(AnswerError::Malformed)?;
    let signed = Signed::read(inner.response.as_bytes())?;
    let data = ResponseData::from_der(signed.data).map_err(malformed)?;
    let one = data
        .responses
        .iter()
        .find(|one| is_same(&one.cert_id, &asked.id))
        .ok_or(AnswerError::Other)?;
    if !signed.is_by(&asked.issuer, &data.responder_id, now) {
        return Err(AnswerError::Signer);
    }
    judge(one, now)
}

fn judge(one: &SingleResponse, now: Timestamp) -> Result<Answer, AnswerError> {
    let from = time(one.this_update)?;
    let until = match one.next_update {
        Some(until) => time(until)?,
        None => from
            .checked_add(UNSAID)
            .map_err(|_| AnswerError::Malformed)?,
    };
    if from.duration_since(now) > SKEW {
        return Err(AnswerError::Future);
    }
    if until <= now {
        return Err(AnswerError::Old);
    }
    let verdict = match one.cert_status {
        CertStatus::Good(_) => Verdict::Good,
        CertStatus::Revoked(info) => Verdict::Revoked {
            at: time(info.revocation_time)?,
            reason: info.revocation_reason.and_then(reason),
        },
        CertStatus::Unknown(_) => return Err(AnswerError::Unknown),
    };
    Ok(Answer {
        verdict,
        from,
        until,
    })
}

fn malformed(_: x509_cert::der::Error) -> AnswerError {
    AnswerError::Malformed
}

fn refused(status: OcspResponseStatus) -> Option<&'static str> {
    match status {
        OcspResponseStatus::Successful => None,
        OcspResponseStatus::MalformedRequest => Some("it cannot read the question"),
        OcspResponseStatus::InternalError => Some("something is wrong with it"),
        OcspResponseStatus::TryLater => Some("it is to be asked later"),
        OcspResponseStatus::SigRequired => Some("it wants the question signed"),
        OcspResponseStatus::Unauthorized => Some("it is not the one to say (unauthorized)"),
    }
}

/// As in RFC 5280, 5.3.1, in words.
fn reason(reason: x509_cert::ext::pkix::CrlReason) -> Option<&'static str> {
    use x509_cert::ext::pkix::CrlReason;
    match reason {
        CrlReason::Unspecified | CrlReason::RemoveFromCRL => None,
        CrlReason::KeyCompromise => Some("its key is compromised"),
        CrlReason::CaCompromise => Some("the authority is compromised"),
        CrlReason::AffiliationChanged => Some("its owner changed"),
        CrlReason::Superseded => Some("another took its place"),
        CrlReason::CessationOfOperation => Some("its owner has no use for it"),
        CrlReason::CertificateHold => Some("it is on hold"),
        CrlReason::PrivilegeWithdrawn => Some("its owner lost the right to it"),
        CrlReason::AaCompromise => Some("an attribute authority is compromised"),
    }
}

/// Parameters of the algorithm may be left out or not, so they do not count.
fn is_same(one: &CertId, other: &CertId) -> bool {
    one.hash_algorithm.oid == other.hash_algorithm.oid
        && one.issuer_name_hash == other.issuer_name_hash
        && one.issuer_key_hash == other.issuer_key_hash
        && one.serial_number == other.serial_number
}

fn time(time: OcspGeneralizedTime) -> Result<Timestamp, AnswerError> {
    let seconds = i64::try_from(time.0.to_unix_duration().as_secs());
    seconds
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(AnswerError::Malformed)
}

/// The parts of a `BasicOCSPResponse`, in DER as they came: what is signed is bytes and not what they mean.
struct Signed<'a> {
    data: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

impl<'a> Signed<'a> {
    fn read(basic: &'a [u8]) -> Result<Self, AnswerError> {
        let mut reader = SliceReader::new(basic).map_err(malformed)?;
        let signed = reader.sequence(|inner| {
            let data = inner.tlv_bytes()?;
            let algorithm = inner.tlv_bytes()?;
            let signature = inner.tlv_bytes()?;
            let mut certificates = Vec::new();
            let tagged = ContextSpecific::<x509_cert::der::AnyRef<'_>>::decode_explicit(
                inner,
                TagNumber::N0,
            )?;
            if let Some(tagged) = tagged {
                tagged.value.sequence(|list| {
                    while !list.is_finished() && certificates.len() < MAX_CERTIFICATES {
                        certificates.push(list.tlv_bytes()?);
                    }
                    while !list.is_finished() {
                        list.tlv_bytes()?;
                    }
                    Ok(())
                })?;
            }
            Ok(Signed {
                data,
                algorithm,
                signature,
                certificates,
            })
        });
        let signed = signed.map_err(malformed)?;
        reader.finish(signed).map_err(malformed)
    }

    /// Whether it is signed by the issuer, or by whom the issuer lets sign answers and nothing more than that.
    fn is_by(&self, issuer: &[u8], named: &ResponderId, now: Timestamp) -> bool {
        let Ok((_, issuer)) = X509Certificate::from_der(issuer) else {
            return false;
        };
        if is_named(&issuer, named) && self.is_signed_with(&issuer) {
            return true;
        }
        self.certificates.iter().any(|certificate| {
            X509Certificate::from_der(certificate).is_ok_and(|(_, delegate)| {
                is_named(&delegate, named)
                    && may_answer(&delegate, now)
                    && is_issuer(&issuer, &delegate)
                    && self.is_signed_with(&delegate)
            })
        })
    }

    fn is_signed_with(&self, signer: &X509Certificate<'_>) -> bool {
        let Ok((_, algorithm)) = AlgorithmIdentifier::from_der(self.algorithm) else {
            return false;
        };
        let Ok((_, signature)) = BitString::from_der(self.signature) else {
            return false;
        };
        // Who can make two texts of one digest could have one of them signed.
        let is_weak = algorithm.algorithm == OID_PKCS1_SHA1WITHRSA
            || algorithm.algorithm == OID_SHA1_WITH_RSA;
        !is_weak && verify_signature(signer.public_key(), &algorithm, &signature, self.data).is_ok()
    }
}

fn is_named(certificate: &X509Certificate<'_>, named: &ResponderId) -> bool {
    match named {
        ResponderId::ByName(name) => name
            .to_der()
            .is_ok_and(|name| name == certificate.subject().as_raw()),
        ResponderId::ByKey(key) => {
            key.as_bytes() == sha1(&certificate.public_key().subject_public_key.data)
        }
    }
}

/// RFC 6960, 4.2.2.2.
fn may_answer(delegate: &X509Certificate<'_>, now: Timestamp) -> bool {
    let validity = delegate.validity();
    let is_current = validity.not_before.timestamp() <= now.as_second()
        && now.as_second() <= validity.not_after.timestamp();
    let usage = delegate.extended_key_usage().ok().flatten();
    is_current && usage.is_some_and(|usage| usage.value.ocsp_signing)
}
