//! `GET /ropewalk/top`, `GET /ropewalk/apps/:app/top`: requests of the last seconds. Not in Heroku's API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::metrics::Requests;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// 10
    pub seconds: u64,
    /// Of how many of them anything is known; what is said for a second is by these.
    pub measured_seconds: u64,
    /// Those that have any requests, by name; of one app always that one.
    pub apps: Vec<TopRow>,
    /// Of one app: its web dynos, by name. Of all: none.
    pub dynos: Vec<TopRow>,
}

/// One app or dyno.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopRow {
    pub id: Uuid,
    /// Those that ended.
    #[serde(flatten)]
    pub requests: Requests,
    /// Requests under way, those that wait included; `None` while no router is there to tell.
    pub in_flight: Option<u64>,
    /// Requests that wait for a dyno that boots or has no place; `None` as above, and of a dyno.
    pub waiting: Option<u64>,
    /// As in [`crate::metrics::Window`]; of a dyno none.
    pub router_errors: BTreeMap<String, u64>,
    pub edge_answers: BTreeMap<String, u64>,
}
