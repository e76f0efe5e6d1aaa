//! `/stacks`: the base images there are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    pub id: Uuid,
    /// `debian-13`
    pub name: String,
    /// What new apps get.
    pub default: bool,
    /// `public`, `beta` or `deprecated`.
    pub state: String,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}
