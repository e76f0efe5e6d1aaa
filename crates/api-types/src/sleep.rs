//! `/ropewalk/apps/:app/sleep`: whether an app sleeps. Not in Heroku's API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reference::Named;

/// How an app sleeps; all but the app and its last use is `null` while it is awake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSleep {
    pub app: Named,
    /// `frozen`: its processes are stopped where they are; `stopped`: none of its dynos is there.
    pub tier: Option<String>,
    /// When it fell asleep.
    #[serde(default, with = "crate::time::option")]
    pub since: Option<Timestamp>,
    /// Why, in words.
    pub reason: Option<String>,
    /// When it was last asked for something, within a minute, where it is to sleep; `null` where that was never noted.
    #[serde(default, with = "crate::time::option")]
    pub last_used_at: Option<Timestamp>,
}

/// `PUT …/sleep`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSleepUpdate {
    /// How deep it is to sleep; `frozen` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
}
