//! Tells a key that is `null` from one that is not there.

use serde::{Deserialize, Deserializer};

/// A key that is there, `null` included, is `Some`.
pub(crate) fn present<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}
