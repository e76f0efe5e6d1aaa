//! `/ropewalk/two-factor`: one's own second factor.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// What there is, and what is shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactor {
    pub enabled: bool,
    /// Base32; only in the answer that made it.
    pub secret: Option<Secret>,
    /// The same for authenticator programs.
    pub otpauth_uri: Option<Secret>,
    /// Each good once; only in the answer that enabled it.
    pub recovery_codes: Option<Vec<Secret>>,
}

/// `POST` with the password to get a secret, `POST` with a code to enable it, `DELETE` with the password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TwoFactorChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Secret>,
}
