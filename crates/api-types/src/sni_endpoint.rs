//! `/apps/:app/sni-endpoints`: certificates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;
use crate::secret::Secret;

/// One certificate and the domains it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpoint {
    pub id: Uuid,
    pub name: String,
    pub display_name: Option<String>,
    pub app: Named,
    /// PEM.
    pub certificate_chain: String,
    /// Ids of domains.
    pub domains: Vec<Uuid>,
    pub ssl_cert: SslCert,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// What the certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SslCert {
    pub id: Uuid,
    #[serde(rename = "ca_signed?")]
    pub ca_signed: bool,
    #[serde(rename = "self_signed?")]
    pub self_signed: bool,
    /// Got and renewed by the platform.
    #[serde(default)]
    pub acm: bool,
    pub cert_domains: Vec<String>,
    pub issuer: String,
    pub subject: String,
    #[serde(with = "crate::time")]
    pub starts_at: Timestamp,
    #[serde(with = "crate::time")]
    pub expires_at: Timestamp,
    /// What its authority says about it; absent for one that serves nothing, or names nobody to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// Whether a certificate is revoked (OCSP). An addition to Heroku's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub status: RevocationStatus,
    /// Clients refuse the certificate without its authority's word.
    pub must_staple: bool,
    /// Until when clients are given the authority's word.
    #[serde(
        default,
        with = "crate::time::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub stapled_until: Option<Timestamp>,
    #[serde(
        default,
        with = "crate::time::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked, or why nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStatus {
    Good,
    Revoked,
    /// The authority was not asked yet.
    Pending,
    /// There is no answer that holds.
    Unknown,
}

/// `POST` and `PATCH /apps/:app/sni-endpoints`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpointCreate {
    /// PEM, leaf first.
    pub certificate_chain: String,
    /// PEM.
    pub private_key: Secret,
}
