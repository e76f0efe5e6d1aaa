//! Releases: slug + config vars + formation defaults + stack version, numbered and immutable.

/// A release's way: `pending` while its release command or its new dynos run, then one of the ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseStatus {
    Pending,
    Succeeded,
    Failed,
    /// Overtaken by a newer release before it could take effect.
    Expired,
}

impl ReleaseStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Succeeded, Self::Failed, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    pub fn is_final(self) -> bool {
        self != Self::Pending
    }
}
