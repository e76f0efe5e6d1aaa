//! `/apps/:app/slugs`: built trees.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One slug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slug {
    pub id: Uuid,
    pub blob: Blob,
    pub buildpack_provided_description: Option<String>,
    /// `SHA256:<hex>`
    pub checksum: Option<String>,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    /// Process type to command.
    pub process_types: BTreeMap<String, String>,
    /// Bytes.
    pub size: Option<u64>,
    pub stack: Named,
    #[serde(with = "crate::time::option", default)]
    pub deleted_at: Option<Timestamp>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// Where the `tar.gz` is fetched from (`get`) or sent to (`put`, right after creation).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub method: String,
    pub url: String,
}

/// `POST /apps/:app/slugs`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlugCreate {
    /// Required; its absence is refused once it is known that the app is the client's.
    #[serde(default)]
    pub process_types: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpack_provided_description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_description: Option<String>,
    /// Id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}
