//! `/apps/:app/releases`: what ran when, and why.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::{ById, Named, UserRef};

/// One release. An app has at least one, v1 `Initial release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub id: Uuid,
    pub app: Named,
    pub version: u64,
    /// `Deploy 1a2b3c4d`, `Set A, B config vars`, `Rollback to v5` ...
    pub description: String,
    pub status: ReleaseStatus,
    /// True for exactly one release of an app.
    pub current: bool,
    pub eligible_for_rollback: bool,
    pub user: UserRef,
    pub slug: Option<ById>,
    #[serde(default)]
    pub oci_image: Option<ById>,
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    #[serde(default)]
    pub addon_plan_names: Vec<String>,
    /// The release command's output; `null` when there is no such command.
    pub output_stream_url: Option<String>,
    /// Why it failed, for people: `web.1 crashed: exit 1`. Ours; Heroku's releases do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// What a release is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// `slug` or `oci-image`.
    #[serde(rename = "type")]
    pub artifact_type: String,
    pub id: Uuid,
}

/// How far a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Its release command runs, or its web dynos boot.
    Pending,
    Succeeded,
    Failed,
    /// A newer release took its place before it could take effect.
    Expired,
}

impl fmt::Display for ReleaseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        })
    }
}

/// `POST /apps/:app/releases`: a slug to release, or a release to go back to. Exactly one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseCreate {
    /// Id of the slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Id (or version number) of the release to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
