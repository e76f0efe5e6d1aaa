//! Pipelines: apps that carry the same code one after another, each at a stage.

use std::fmt;

use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PipelineError {
    #[error(
        "Name must start with a letter and can only contain lowercase letters, digits, and dashes, 3 to 30 characters in all."
    )]
    Name,
    #[error("Stage {0:?} is not one of test, review, development, staging and production.")]
    Stage(String),
}

/// A pipeline's name: `^[a-z][a-z0-9-]{2,29}$` (Platform API schema).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineName(String);

impl PipelineName {
    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        let bytes = text.as_bytes();
        let fits = (3..=30).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(PipelineError::Name),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far along the pipeline an app is; in the order in which code moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// No app is ever here: its config vars are those of test runs.
    Test,
    Review,
    Development,
    Staging,
    Production,
}

impl Stage {
    pub const ALL: [Self; 5] = [
        Self::Test,
        Self::Review,
        Self::Development,
        Self::Staging,
        Self::Production,
    ];

    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or_else(|| PipelineError::Stage(text.chars().take(64).collect()))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_schema() {
        for good in ["abc", "my-pipeline-", "a23456789012345678901234567890"] {
            assert!(PipelineName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "1abc",
            "Abc",
            "a_bc",
            "a/b",
            "a234567890123456789012345678901",
        ] {
            assert!(PipelineName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stages_are_those_of_the_schema() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.as_str()), Ok(stage));
        }
        assert!(Stage::parse("Production").is_err());
        assert!(Stage::Staging < Stage::Production);
    }
}
