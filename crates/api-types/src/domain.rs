//! `/apps/:app/domains`: the host names that lead to an app.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One host name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub id: Uuid,
    pub app: Named,
    pub hostname: String,
    /// What the owner of a custom domain points a CNAME record at; `null` for the platform's own name.
    pub cname: Option<String>,
    pub kind: DomainKind,
    /// `none` (ready), `pending`, `succeeded` or `failed`.
    pub status: String,
    /// How far the platform is with its certificate: `pending`, `verified`, `cert issued`, `failing` or `failed`; `null`
    /// where it gets none.
    pub acm_status: Option<String>,
    pub acm_status_reason: Option<String>,
    pub sni_endpoint: Option<Named>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// The platform's own name of the app.
    Heroku,
    /// A name that a user added.
    Custom,
}

impl fmt::Display for DomainKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Heroku => "heroku",
            Self::Custom => "custom",
        })
    }
}

/// `POST /apps/:app/domains`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCreate {
    pub hostname: String,
    /// Id or name; written even when `null`.
    #[serde(default)]
    pub sni_endpoint: Option<String>,
}

/// `PATCH /apps/:app/domains/:domain`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainUpdate {
    /// Id or name; `null` takes the certificate away.
    #[serde(default)]
    pub sni_endpoint: Option<String>,
}
