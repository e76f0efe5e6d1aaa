//! Times as the API writes them: RFC 3339 in UTC, whole seconds, `2012-01-01T12:00:00Z`.
//!
//! For `#[serde(with = "crate::time")]`; [`option`] is the same for times that may be `null`. Reading takes any
//! RFC 3339 instant; writing drops what is below a second.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes `at` in whole seconds.
pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    whole_seconds(*at).serialize(to)
}

/// Reads any RFC 3339 instant.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    Timestamp::deserialize(from)
}

/// The same for `Option<Timestamp>`; a missing key needs `#[serde(default)]` beside it.
pub mod option {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes `null` or whole seconds.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(super::whole_seconds).serialize(to)
    }

    /// Reads `null` or any RFC 3339 instant.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Option::deserialize(from)
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Sample {
        #[serde(with = "crate::time")]
        at: Timestamp,
        #[serde(with = "crate::time::option", default)]
        maybe: Option<Timestamp>,
    }

    #[test]
    fn fractions_are_dropped_and_utc_is_spelled_z() {
        let sample: Sample =
            serde_json::from_str(r#"{"at":"2012-01-01T14:00:00.987654+02:00"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&sample).unwrap(),
            r#"{"at":"2012-01-01T12:00:00Z","maybe":null}"#
        );
    }
}
