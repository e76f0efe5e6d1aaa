//! `/apps/:app/log-drains`: where an app's log is sent besides.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One drain. Its URL may hold credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDrain {
    pub id: Uuid,
    pub addon: Option<Named>,
    pub app: Option<Named>,
    /// `d.<uuid>`: who the lines say they are from.
    pub token: String,
    pub url: String,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `POST /apps/:app/log-drains`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDrainCreate {
    pub url: String,
}

impl fmt::Debug for LogDrain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogDrain")
            .field("id", &self.id)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LogDrainCreate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogDrainCreate")
    }
}
