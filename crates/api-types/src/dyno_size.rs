//! `/dyno-sizes`: what a dyno may use; and `/ropewalk/dyno-sizes`: the same to the last limit, for who runs the host.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::present::present;
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

/// One size as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeLimits {
    pub name: String,
    /// MiB that a dyno is promised.
    pub memory_mib: u64,
    /// MiB beyond which the kernel ends a process.
    pub limit_mib: u64,
    /// Relative weight where there are fewer CPUs than dynos want.
    pub cpu_shares: u32,
    /// Thousandths of a core that it has at most; `null` for no limit.
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    pub pids: u32,
    /// MiB of files beside those of its slug; `null` for no limit.
    pub disk_mib: Option<u64>,
    /// Thousandths of a cent for an hour of it; `null` where there is no price.
    pub price: Option<u64>,
    /// Its memory is all that it ever gets, and shown as such.
    pub dedicated: bool,
    /// Apps with web dynos of it sleep without being asked to.
    pub sleeps: bool,
    /// New process types get it.
    pub usual: bool,
}

/// `POST /ropewalk/dyno-sizes`, where `name` and `memory_mib` must be said and the rest goes by the memory; and
/// `PATCH /ropewalk/dyno-sizes/:size`, where what is left out stays and `name` is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SizeChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u32>,
    /// `null` for no limit.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// `null` for no limit.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<Option<u64>>,
    /// `null` for no price.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub price: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleeps: Option<bool>,
}
