//! The variables that a dyno's processes find: config vars, then what the platform sets.
//!
//! Source of the names: Heroku Dev Center, "Dynos and the Dyno Manager" and "Dyno Metadata".

use std::collections::BTreeMap;

use ropewalk_model::dyno::PORT;
use ropewalk_model::{AppId, AppName, ConfigVars, DynoName};

/// What a dyno is told about itself.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) app: AppId,
    pub(crate) app_name: &'a AppName,
    pub(crate) dyno: &'a DynoName,
    pub(crate) version: u32,
    pub(crate) commit: Option<&'a str>,
    pub(crate) memory_mib: u64,
    /// A TCP route leads to dynos of its type.
    pub(crate) routed: bool,
}

/// Platform variables win over config vars of the same name, variables given with a one-off over both but for
/// `PORT` and `DYNO`.
pub(crate) fn variables(
    facts: &Facts<'_>,
    config: &ConfigVars,
    extra: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut env = config.0.clone();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("HOME", "/app".to_owned());
    set("HEROKU_APP_ID", facts.app.to_string());
    set("HEROKU_APP_NAME", facts.app_name.to_string());
    set("HEROKU_RELEASE_VERSION", format!("v{}", facts.version));
    if let Some(commit) = facts.commit {
        set("HEROKU_SLUG_COMMIT", commit.to_owned());
        set("SOURCE_VERSION", commit.to_owned());
    }
    set("DYNO_RAM", facts.memory_mib.to_string());
    env.extend(of_init());
    env.extend(extra.clone());
    env.insert("DYNO".to_owned(), facts.dyno.to_string());
    if facts.dyno.process_type.is_web() || facts.routed {
        env.insert("PORT".to_owned(), PORT.to_string());
    } else {
        env.remove("PORT");
    }
    env.into_iter().collect()
}

/// For the first process of each dyno: SIGTERM reaches every process and not only that one's child, as the dyno manager
/// promises.
pub(crate) fn of_init() -> Vec<(String, String)> {
    vec![("TINI_KILL_PROCESS_GROUP".to_owned(), "1".to_owned())]
}

/// Those of a command inside a dyno: the dyno's own, and those given with the command. What the dyno is stays so.
pub(crate) fn inside(
    own: Vec<(String, String)>,
    mut extra: BTreeMap<String, String>,
) -> Vec<(String, String)> {
    extra.remove("DYNO");
    extra.remove("PORT");
    let mut env: BTreeMap<String, String> = own.into_iter().collect();
    env.extend(extra);
    env.into_iter().collect()
}
