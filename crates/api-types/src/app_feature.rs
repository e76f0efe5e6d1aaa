//! `/apps/:app/features`: switches of one app. `/account/features` has the same shape.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeature {
    pub id: Uuid,
    pub name: String,
    pub display_name: String,
    pub description: String,
    pub doc_url: String,
    pub feedback_email: String,
    pub enabled: bool,
    /// `general`, `beta` ...
    pub state: String,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `PATCH /apps/:app/features/:feature`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeatureUpdate {
    pub enabled: bool,
}
