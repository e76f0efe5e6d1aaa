//! `/apps`: an app, and what may be asked of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::{Named, UserRef};

/// One app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub id: Uuid,
    pub name: String,
    /// Certificates are got and renewed by the platform.
    pub acm: bool,
    #[serde(with = "crate::time::option", default)]
    pub archived_at: Option<Timestamp>,
    /// What the last build's buildpack called the app: `Node.js`.
    pub buildpack_provided_description: Option<String>,
    /// The stack of the next build.
    pub build_stack: Named,
    /// The stack of the current release.
    pub stack: Named,
    pub generation: Named,
    pub git_url: String,
    pub web_url: Option<String>,
    pub internal_routing: Option<bool>,
    #[serde(default)]
    pub locked: bool,
    pub maintenance: bool,
    pub owner: UserRef,
    pub organization: Option<Named>,
    pub team: Option<Named>,
    pub region: Named,
    #[serde(with = "crate::time::option", default)]
    pub released_at: Option<Timestamp>,
    /// Bytes; a number, never `null`, because clients format it.
    pub repo_size: Option<u64>,
    /// Bytes of the current slug; a number, never `null`, because clients format it.
    pub slug_size: Option<u64>,
    pub space: Option<SpaceRef>,
    /// `complete`
    #[serde(default)]
    pub create_status: Option<String>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// The space an app lives in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceRef {
    pub id: Uuid,
    pub name: String,
    pub shield: bool,
}

/// `POST /apps`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppCreate {
    /// Without one the server makes one up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_flags: Option<Vec<String>>,
}

/// `POST /filters/apps`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppFilter {
    #[serde(rename = "in")]
    pub within: AppFilterIn,
}

/// One app of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilteredApp {
    #[serde(flatten)]
    pub app: App,
    /// The asker works on it.
    pub joined: bool,
}

/// Among what the apps are looked for; without it, among all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppFilterIn {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Vec<String>>,
}

/// `PATCH /apps/:app/acm`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcmRefresh {
    /// Try anew what failed.
    pub acm_refresh: bool,
}

/// `PATCH /apps/:app`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<bool>,
    /// Id or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_stack: Option<String>,
}
