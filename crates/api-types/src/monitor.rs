//! `/apps/:app/formation/:type/monitors`: autoscaling. Clients in the wild ask for it on Heroku's metrics host too.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// Between how many dynos a process type is scaled, and for which response time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitor {
    pub id: Uuid,
    pub app: Named,
    /// `web`
    pub process_type: String,
    /// `LATENCY_SCALE`
    pub name: String,
    /// `scale`
    pub action_type: String,
    pub is_active: bool,
    /// `GREATER_OR_EQUAL`
    pub op: String,
    /// Minutes.
    pub period: u32,
    /// Wanted p95 in milliseconds.
    pub value: u32,
    pub min_quantity: u32,
    pub max_quantity: u32,
    pub notification_channels: Vec<String>,
    /// Minutes.
    pub notification_period: u32,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `POST …/monitors` and `PATCH …/monitors/:id`: what is not said stays, or is as clients expect it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonitorUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_quantity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_quantity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_channels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_period: Option<i64>,
}
