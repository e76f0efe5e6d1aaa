//! `/account`, `/users/~`: who the token speaks for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;
use crate::secret::Secret;

/// One user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: Uuid,
    pub email: String,
    pub name: Option<String>,
    pub allow_tracking: bool,
    pub beta: bool,
    /// Signed in by somebody else's identity provider.
    pub federated: bool,
    pub identity_provider: Option<IdentityProvider>,
    pub sms_number: Option<String>,
    pub two_factor_authentication: bool,
    pub verified: bool,
    pub country_of_residence: Option<String>,
    pub default_organization: Option<Named>,
    pub default_team: Option<Named>,
    #[serde(with = "crate::time::option", default)]
    pub last_login: Option<Timestamp>,
    #[serde(with = "crate::time::option", default)]
    pub suspended_at: Option<Timestamp>,
    #[serde(with = "crate::time::option", default)]
    pub delinquent_at: Option<Timestamp>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// The identity provider of a federated user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityProvider {
    pub id: Uuid,
    pub name: String,
}

/// `PATCH /account`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_tracking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The one there is; to be sent with everything below, and with `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_password: Option<Secret>,
    /// `false` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_factor_authentication: Option<bool>,
}
