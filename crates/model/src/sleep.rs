//! How deep an app sleeps that nobody asks for anything.

/// Each costs less than the one before, and longer to wake from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SleepTier {
    /// Its dynos' processes are stopped where they are: no CPU, and memory as far as the kernel can give it back.
    Frozen,
    /// None of its dynos is there.
    Stopped,
}

impl SleepTier {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Stopped => "stopped",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Frozen, Self::Stopped]
            .into_iter()
            .find(|tier| tier.as_str() == text)
    }
}
