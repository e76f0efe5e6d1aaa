//! `/oauth/authorizations`, `/oauth/sessions`: tokens and how they came to be.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::reference::ById;
use crate::secret::Secret;

/// One authorization: a token, its scopes and its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    pub id: Uuid,
    pub access_token: Option<Token>,
    pub client: Option<Client>,
    pub description: String,
    pub grant: Option<Grant>,
    pub refresh_token: Option<Token>,
    /// `global`, `identity`, `read`, `write`, `read-protected`, `write-protected`.
    pub scope: Vec<String>,
    pub session: Option<ById>,
    pub user: AuthorizedUser,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// A token, whole on creation and redacted (`abcd**********wxyz`) in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: Uuid,
    /// Seconds from now; `null` is for ever.
    pub expires_in: Option<u64>,
    pub token: Secret,
}

/// The program that a token was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub id: Uuid,
    pub name: String,
    pub redirect_uri: Option<String>,
}

/// A code that a client trades for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: Uuid,
    pub code: Secret,
    /// Seconds.
    pub expires_in: u64,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizedUser {
    pub id: Uuid,
    pub email: String,
    pub full_name: Option<String>,
}

/// `POST /oauth/authorizations`, the only request that takes an account's password (Basic).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationCreate {
    pub scope: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds; without it, for ever. Heroku's own client sends what was typed, as text.
    #[serde(
        default,
        deserialize_with = "seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Uuid>,
}

/// `PATCH /oauth/authorizations/:id`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientKey>,
}

/// How an OAuth client names itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientKey {
    pub id: String,
    pub secret: Option<Secret>,
}

/// One entry of `GET /oauth/sessions`: a token that was made by logging in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: Uuid,
    pub description: String,
    /// Seconds from now.
    pub expires_in: Option<u64>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// A number, also as text; `null` and empty text are nothing.
fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelled {
        Number(u64),
        Text(String),
    }
    match Option::<Spelled>::deserialize(input)? {
        None => Ok(None),
        Some(Spelled::Number(seconds)) => Ok(Some(seconds)),
        Some(Spelled::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(Spelled::Text(text)) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| D::Error::custom("`expires_in` is not a number of seconds")),
    }
}
