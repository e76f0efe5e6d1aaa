//! `/apps/:app/builds`: a source tree on its way to a slug.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::{ById, UserRef};

/// One build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub id: Uuid,
    pub app: ById,
    pub buildpacks: Option<Vec<Buildpack>>,
    /// `cedar`
    #[serde(default)]
    pub generation: String,
    /// Plain text, live from the first byte to the end; needs no token.
    pub output_stream_url: String,
    pub source_blob: SourceBlob,
    pub release: Option<ById>,
    pub slug: Option<ById>,
    /// The stack's name.
    pub stack: String,
    pub status: BuildStatus,
    pub user: UserRef,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// A buildpack by URL and by name; either may stand alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildpack {
    pub url: Option<String>,
    pub name: Option<String>,
}

/// Where the source came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBlob {
    /// `SHA256:<hex>`
    #[serde(default)]
    pub checksum: Option<String>,
    #[serde(default)]
    pub url: String,
    /// The commit, or what the sender calls it.
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub version_description: Option<String>,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildStatus {
    Pending,
    Succeeded,
    Failed,
}

impl fmt::Display for BuildStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        })
    }
}

/// `POST /apps/:app/builds`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCreate {
    /// Required; one without an address is refused once it is known that the app is the client's.
    #[serde(default)]
    pub source_blob: SourceBlob,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<Buildpack>>,
}
