//! `/dyno-sizes`: what a dyno may use.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DynoSize {
    pub id: Uuid,
    /// `Standard-1X`
    pub name: String,
    /// `amd64`
    pub architecture: String,
    /// CPU shares, where 1 is the smallest size's.
    pub compute: u64,
    pub cost: Option<Cost>,
    pub dedicated: bool,
    pub precise_dyno_units: f64,
    pub generation: Named,
    /// GB.
    pub memory: f64,
    pub private_space_only: bool,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub cents: u64,
    /// `month`
    pub unit: String,
}
