//! `/apps/:app/dynos`: what runs now.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::{Named, ReleaseRef};

/// One dyno.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyno {
    pub id: Uuid,
    /// `web.1`
    pub name: String,
    /// `web`
    #[serde(rename = "type")]
    pub process_type: String,
    /// `starting`, `up`, `idle`, `crashed` or `down`.
    pub state: String,
    /// `Standard-1X`
    pub size: String,
    pub command: String,
    /// Where to attach to a one-off dyno that was asked for with `attach`; carries its own secret.
    pub attach_url: Option<String>,
    pub release: ReleaseRef,
    pub app: Named,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    /// Since when it is in its state.
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `/ropewalk/apps/:app/dynos`: a dyno, and what Heroku's form of it has no keys for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoStatus {
    #[serde(flatten)]
    pub dyno: Dyno,
    /// Why it is in its state, in words: `exit 137, out of memory`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Crashes in a row.
    #[serde(default)]
    pub crashes: u32,
    /// When one that crashed is started again.
    #[serde(default, with = "crate::time::option")]
    pub restarts_at: Option<Timestamp>,
}

/// `POST /apps/:app/dynos`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoCreate {
    /// A shell line; a first word that names a process type stands for its command.
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// For this dyno only: TERM, COLUMNS, LINES and what the user adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, EnvValue>>,
    /// Pipes instead of a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_no_tty: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    /// Seconds until it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<u64>,
}

/// Clients send COLUMNS and LINES as numbers, the rest as texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    Number(i64),
    Text(String),
}

impl fmt::Display for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// `202 {}` of restart and stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {}
