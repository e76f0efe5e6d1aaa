//! `/ropewalk/apps/:app/dyno-settings`: how dynos start and stop. Not in Heroku's API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::reference::Named;

/// What differs from the platform's habits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoSettings {
    pub app: Named,
    /// Of every process type that says nothing else: names of settings to their texts, as `boot-timeout` to `2m`.
    pub all: BTreeMap<String, String>,
    /// Of one process type each, by its name.
    pub types: BTreeMap<String, BTreeMap<String, String>>,
}

/// `PATCH …/dyno-settings`: what is not named stays, `null` ends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DynoSettingsUpdate {
    /// `None` for every process type that says nothing else.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    pub settings: BTreeMap<String, Option<String>>,
}
