//! `GET /ropewalk/tasks`: what the server does all the time, and how its last rounds went. Not in Heroku's API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that the server does all the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub name: String,
    /// `running`, `backing_off` (it failed, and is about to be started again) or `finished`.
    pub state: String,
    /// How many of this name run now.
    pub running: u32,
    /// Times that it was started again after a failure.
    pub restarts: u64,
    /// Of the last failure.
    pub last_error: Option<String>,
    #[serde(with = "crate::time::option")]
    pub last_error_at: Option<Timestamp>,
    /// Of one that comes round again and again, from its first round on.
    pub rounds: Option<Rounds>,
}

/// The rounds of a task since the server began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    pub count: u64,
    /// Longest time from the end of one to the end of the next, in milliseconds, in good health.
    pub within_ms: u64,
    /// When the last one ended.
    #[serde(with = "crate::time::option")]
    pub last_at: Option<Timestamp>,
    /// Milliseconds that it took.
    pub last_took_ms: u64,
    /// Why it failed; `null` when it did not.
    pub last_error: Option<String>,
    /// None has come to an end for much longer than it should take.
    pub late: bool,
}
