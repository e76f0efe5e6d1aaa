//! Time zones by their names, from a table that is part of the program: what a name means does not hang on the host.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;

/// Longest name, in bytes; that of the longest zone is half of it.
const MAX_NAME: usize = 64;

static TABLE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no time zone. Use a name of the IANA database, such as UTC or Europe/Vienna.")]
pub struct TimeZoneError(String);

/// By its name in any case; gives the zone and how the name is written.
pub fn find(name: &str) -> Result<(TimeZone, String), TimeZoneError> {
    let fail = || TimeZoneError(name.chars().take(MAX_NAME).collect());
    if name.len() > MAX_NAME {
        return Err(fail());
    }
    let zone = TABLE.get(name).map_err(|_| fail())?;
    let written = zone.iana_name().ok_or_else(fail)?.to_owned();
    Ok((zone, written))
}

/// How a zone that was found by its name is written.
pub fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_name_and_nothing_else_is() {
        for (name, written) in [
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("europe/vienna", "Europe/Vienna"),
            (
                "America/Argentina/Buenos_Aires",
                "America/Argentina/Buenos_Aires",
            ),
        ] {
            assert_eq!(find(name).unwrap().1, written);
        }
        for name in [
            "",
            "CEST",
            "+02:00",
            "../etc/passwd",
            "Europe/Wien",
            "Etc/Unknown",
        ] {
            assert!(
                find(name)
                    .unwrap_err()
                    .to_string()
                    .contains("Europe/Vienna"),
                "{name}"
            );
        }
        assert!(find(&"a".repeat(1 << 20)).unwrap_err().to_string().len() < 200);
    }
}
