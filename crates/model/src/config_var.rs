//! Config vars: names, limits, and values that no log or debug print shows.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Name and value bytes of all config vars of an app together.
pub const MAX_TOTAL: usize = 64 << 10;
/// Longest name, in bytes.
pub const MAX_NAME: usize = 256;

/// A config var's name: `[A-Za-z_][A-Za-z0-9_.-]*`, so that it can be an environment variable and a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigVarName(String);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigVarError {
    #[error(
        "Config var name {0:?} is not valid: letters, digits, underscores, dots and dashes, not starting with a digit."
    )]
    Name(String),
    #[error("Config var {0} holds a NUL byte, which no environment variable can.")]
    Nul(String),
    #[error("Config vars exceed {limit} KiB in all; this change would make it {0} bytes.", limit = MAX_TOTAL >> 10)]
    TooLarge(usize),
    #[error("Config var {0} is set by the platform and cannot be changed.")]
    Reserved(String),
}

impl ConfigVarName {
    pub fn parse(text: &str) -> Result<Self, ConfigVarError> {
        let bytes = text.as_bytes();
        let fits = (1..=MAX_NAME).contains(&bytes.len())
            && (bytes[0].is_ascii_alphabetic() || bytes[0] == b'_')
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !fits {
            return Err(ConfigVarError::Name(text.chars().take(64).collect()));
        }
        // The platform decides these; a user's value would only be overridden in silence.
        if matches!(text, "PORT" | "DYNO") {
            return Err(ConfigVarError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigVarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All config vars of a release. `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigVars(pub BTreeMap<String, String>);

impl fmt::Debug for ConfigVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a change did, in the words of a release description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigChange {
    pub set: Vec<String>,
    pub removed: Vec<String>,
}

impl ConfigChange {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    /// `Set A, B config vars`, `Remove A config vars`, or both.
    pub fn description(&self) -> String {
        let set = (!self.set.is_empty()).then(|| format!("Set {}", self.set.join(", ")));
        let removed =
            (!self.removed.is_empty()).then(|| format!("Remove {}", self.removed.join(", ")));
        let parts: Vec<String> = set.into_iter().chain(removed).collect();
        format!("{} config vars", parts.join(" and "))
    }
}

impl ConfigVars {
    /// Applies `name → Some(value)` (set) and `name → None` (remove). Setting what already is, or removing
    /// what is not there, is no change.
    pub fn patched(
        &self,
        patch: &BTreeMap<String, Option<String>>,
    ) -> Result<(ConfigVars, ConfigChange), ConfigVarError> {
        let mut vars = self.0.clone();
        let mut change = ConfigChange::default();
        for (name, value) in patch {
            let name = ConfigVarName::parse(name)?;
            match value {
                Some(value) if value.contains('\0') => {
                    return Err(ConfigVarError::Nul(name.as_str().to_owned()));
                }
                Some(value) => {
                    if vars.get(name.as_str()) != Some(value) {
                        vars.insert(name.as_str().to_owned(), value.clone());
                        change.set.push(name.as_str().to_owned());
                    }
                }
                None => {
                    if vars.remove(name.as_str()).is_some() {
                        change.removed.push(name.as_str().to_owned());
                    }
                }
            }
        }
        let total: usize = vars
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if total > MAX_TOTAL {
            return Err(ConfigVarError::TooLarge(total));
        }
        Ok((Self(vars), change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
        entries
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned)))
            .collect()
    }

    #[test]
    fn a_patch_says_what_it_changed() {
        let (vars, change) = ConfigVars::default()
            .patched(&patch(&[("A", Some("1")), ("B", Some(""))]))
            .unwrap();
        assert_eq!(change.description(), "Set A, B config vars");
        let (vars, change) = vars
            .patched(&patch(&[("A", Some("1")), ("B", None), ("C", None)]))
            .unwrap();
        assert_eq!(change.description(), "Remove B config vars");
        assert_eq!(vars.0.len(), 1);
        assert!(
            vars.patched(&patch(&[("A", Some("1"))]))
                .unwrap()
                .1
                .is_empty()
        );
    }

    #[test]
    fn names_and_sizes_are_limited_and_values_stay_secret() {
        for bad in ["", "1A", "A=B", "A B", "PORT", "../x", "A\0"] {
            assert!(
                ConfigVars::default()
                    .patched(&patch(&[(bad, Some("x"))]))
                    .is_err(),
                "{bad:?}"
            );
        }
        let at = "x".repeat(MAX_TOTAL - 1);
        assert!(
            ConfigVars::default()
                .patched(&patch(&[("A", Some(&at))]))
                .is_ok()
        );
        let over = "x".repeat(MAX_TOTAL);
        assert!(
            ConfigVars::default()
                .patched(&patch(&[("A", Some(&over))]))
                .is_err()
        );
        let (vars, _) = ConfigVars::default()
            .patched(&patch(&[("KEY", Some("hunter2"))]))
            .unwrap();
        assert!(!format!("{vars:?}").contains("hunter2"));
    }
}
