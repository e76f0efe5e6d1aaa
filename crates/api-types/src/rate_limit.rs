//! `/account/rate-limits`

use serde::{Deserialize, Serialize};

/// How many requests the account may still make now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    pub remaining: u64,
}
