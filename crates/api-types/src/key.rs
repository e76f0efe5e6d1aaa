//! `/account/keys`: SSH public keys.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: Uuid,
    pub comment: String,
    pub email: String,
    pub fingerprint: String,
    pub public_key: String,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `POST /account/keys`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCreate {
    pub public_key: String,
}

/// `GET /ropewalk/ssh`: where git speaks SSH. Not in Heroku's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshGit {
    pub host: String,
    pub port: u16,
    /// Kind and base64, as a line of `known_hosts` has them behind the host.
    pub host_key: String,
}
