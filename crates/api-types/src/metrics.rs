//! `GET /ropewalk/apps/:app/metrics`: what was measured of an app. Not in Heroku's API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    pub app: Named,
    /// Shortest first.
    pub windows: Vec<Window>,
    /// Requests under way, those that wait included; `None` while no router is there to tell.
    pub in_flight: Option<u64>,
    /// Requests that wait for a dyno that boots or has no place; `None` as above.
    pub waiting: Option<u64>,
    /// Every dyno there is, by name.
    pub dynos: Vec<DynoMetrics>,
}

/// The last so many seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// 60, 600
    pub seconds: u64,
    /// Of how many of them anything is known; what is said for a second is by these.
    pub measured_seconds: u64,
    /// Of each process type that takes requests: `web`. Dynos that are gone are in it.
    pub process_types: Vec<Requests>,
    /// Of each dyno that is there and had any.
    pub dynos: Vec<Requests>,
    /// What the router answered itself or logged as an error: `{"H12": 3}`
    pub router_errors: BTreeMap<String, u64>,
    /// What the app's edge policy answered, by setting: `{"https-redirect": 3}`
    pub edge_answers: BTreeMap<String, u64>,
}

/// Requests that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// `web`, `web.1`
    pub name: String,
    pub requests: u64,
    pub requests_per_second: f64,
    /// `None` without any that a dyno answered.
    pub response_ms: Option<ResponseMs>,
    pub answers: Answers,
}

/// Of so many of 100 answers the slowest, in ms, within 12.5 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseMs {
    pub p50: u64,
    pub p95: u64,
    pub p99: u64,
}

/// By class of status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    #[serde(rename = "1xx")]
    pub informational: u64,
    #[serde(rename = "2xx")]
    pub success: u64,
    #[serde(rename = "3xx")]
    pub redirection: u64,
    #[serde(rename = "4xx")]
    pub client_error: u64,
    #[serde(rename = "5xx")]
    pub server_error: u64,
    /// The router's own.
    pub router: u64,
}

/// One dyno at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoMetrics {
    pub id: Uuid,
    /// `web.1`
    pub name: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub size: String,
    pub state: String,
    /// `None` for what takes no requests, and while no router is there to tell.
    pub in_flight: Option<u64>,
    /// `None` for what does not run.
    pub memory_bytes: Option<u64>,
    pub memory_limit_bytes: u64,
}
