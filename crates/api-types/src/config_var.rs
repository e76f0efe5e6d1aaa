//! `/apps/:app/config-vars`: a flat map, not a list.

use std::collections::BTreeMap;

/// All config vars of an app or of one release. An empty text is a value.
pub type ConfigVars = BTreeMap<String, String>;

/// `PATCH /apps/:app/config-vars`: `None` (`null`) deletes; what is not named stays.
pub type ConfigVarsUpdate = BTreeMap<String, Option<String>>;
