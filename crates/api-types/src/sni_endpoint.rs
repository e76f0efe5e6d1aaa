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
}

/// `POST` and `PATCH /apps/:app/sni-endpoints`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpointCreate {
    /// PEM, leaf first.
    pub certificate_chain: String,
    /// PEM.
    pub private_key: Secret,
}
