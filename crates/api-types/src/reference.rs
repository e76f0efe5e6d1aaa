//! How one resource names another inside its own JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `{"id"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ById {
    pub id: Uuid,
}

/// `{"id","name"}`: apps, stacks, regions, teams, dyno sizes, generations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub id: Uuid,
    pub name: String,
}

/// `{"id","email"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRef {
    pub id: Uuid,
    pub email: String,
}

/// `{"id","version"}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    pub id: Uuid,
    /// 1 for an app's first release, then one more each time.
    pub version: u64,
}
