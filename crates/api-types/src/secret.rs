//! A text that must not appear in logs: its `Debug` form says only that it is there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Plain on the wire, hidden in `Debug`. There is no `Display` on purpose.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}
