//! `/apps/:app/log-sessions`: an address that streams an app's log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSession {
    pub id: Uuid,
    /// Server-sent events; the address alone authorises.
    pub logplex_url: String,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `POST /apps/:app/log-sessions`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSessionCreate {
    /// How many lines of the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
    /// Stay for the lines to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<bool>,
    /// `app` or `heroku`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A dyno's name or a process type: what clients in the wild send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dyno: Option<String>,
    /// The published schema's way to say a dyno.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dyno_name: Option<String>,
    /// The published schema's way to say a process type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
}
