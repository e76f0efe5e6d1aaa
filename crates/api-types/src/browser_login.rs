//! `POST /auth` and what follows: a login that is confirmed in a browser.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// `POST /auth`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrowserLoginAsk {
    /// Who asks, for the person to recognise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Where the person and the asker go from there; both are paths on the same host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserLogin {
    pub browser_url: String,
    pub cli_url: String,
    /// To be shown as bearer token at `cli_url`.
    pub token: Secret,
}

/// The answer of `cli_url`; a redirect to itself is the advice to ask again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserLoginOutcome {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
