//! Test runs: how far one is, and what ends it.
//!
//! ```text
//! pending -> creating -> building -> running -> succeeded | failed
//!    \__________\____________\___________\____> cancelled | errored
//! ```
//! `failed` is the tests' own verdict; `errored` is everything that kept them from giving one.

use std::time::Duration;

/// The whole of a run, from its place in the queue on; what takes longer is ended and `errored`.
pub const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// In the words of the Platform API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestStatus {
    /// It waits.
    Pending,
    /// What it runs in is being made.
    Creating,
    Building,
    Running,
    Succeeded,
    Failed,
    Errored,
    Cancelled,
}

impl TestStatus {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Creating,
        Self::Building,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Errored,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Creating => "creating",
            Self::Building => "building",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing follows it.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Errored | Self::Cancelled
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_they_are_written() {
        for status in TestStatus::ALL {
            assert_eq!(TestStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(TestStatus::parse("debugging"), None);
        let over = TestStatus::ALL
            .into_iter()
            .filter(|status| status.is_over());
        assert_eq!(over.count(), 4);
    }
}
