//! Names that people choose: apps and process types.

use std::fmt;

use thiserror::Error;

/// Why a name was refused; the text is shown to the user as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    #[error(
        "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes, 3 to 30 characters in all."
    )]
    App,
    #[error("Name {0} is reserved.")]
    Reserved(String),
    #[error(
        "Process type {0:?} is not valid: letters, digits, dashes and underscores, at most 63 characters."
    )]
    ProcessType(String),
}

/// An app's name: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$` (Platform API schema), and not one of the platform's own hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(String);

/// Host labels below the platform's domain that no app may take.
pub const RESERVED: [&str; 8] = [
    "api",
    "git",
    "registry",
    "dashboard",
    "www-platform",
    "logs",
    "rendezvous",
    "localhost",
];

impl AppName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let lower_or_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = (3..=30).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes.last().is_some_and(|b| lower_or_digit(*b))
            && bytes.iter().all(|b| lower_or_digit(*b) || *b == b'-');
        if !fits {
            return Err(NameError::App);
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A process type: `web`, `worker`, `release`, or whatever a Procfile declares.
/// `[A-Za-z0-9_-]`, starting with a letter or digit, at most 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessType(String);

impl ProcessType {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let fits = (1..=63).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ProcessType(text.to_owned()))
        }
    }

    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The type whose command runs once before each release (Heroku "Release Phase").
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// One-off dynos.
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    /// One-off dynos of scheduled jobs, as Heroku Scheduler calls them.
    pub fn scheduler() -> Self {
        Self("scheduler".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Only `web` gets requests, and always a port.
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// Types that run once and are never scaled.
    pub fn is_one_off(&self) -> bool {
        self.0 == "release" || self.0 == "run"
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_follow_the_schema() {
        for good in ["abc", "my-app-2", "a23456789012345678901234567890"] {
            assert!(AppName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "1ab",
            "Abc",
            "abc-",
            "a_b",
            "../x",
            "a.b",
            "a234567890123456789012345678901",
            "api",
        ] {
            assert!(AppName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn process_types_keep_case_dash_and_underscore() {
        for good in ["web", "Worker_2", "example-worker", "9lives"] {
            assert!(ProcessType::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "a b", "a:b", "é", &"x".repeat(64)] {
            assert!(ProcessType::parse(bad).is_err(), "{bad}");
        }
    }
}
