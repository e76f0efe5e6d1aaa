//! Times as people read them: `2026/01/01 12:00:00 +0000 (~ 3h ago)`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The local time of `at`, and how long ago that was when it is at most a day.
pub(crate) fn ago(at: Timestamp) -> String {
    spell(at, Timestamp::now(), TimeZone::system())
}

/// So many seconds, roughly: `20s`, `5m`.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        0..=90 => format!("{seconds}s"),
        91..=5400 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

fn spell(at: Timestamp, now: Timestamp, zone: TimeZone) -> String {
    let local = at
        .to_zoned_datetime(zone)
        .strftime("%Y/%m/%d %H:%M:%S %z")
        .to_string();
    match now.as_second() - at.as_second() {
        seconds @ 0..=60 => format!("{local} (~ {seconds}s ago)"),
        seconds @ 61..=3600 => format!("{local} (~ {}m ago)", seconds / 60),
        seconds @ 3601..=90_000 => format!("{local} (~ {}h ago)", seconds / 3600),
        _ => local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_times_say_how_long_ago() {
        let at: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        for (now, text) in [
            (
                "2026-01-01T12:00:35Z",
                "2026/01/01 12:00:00 +0000 (~ 35s ago)",
            ),
            (
                "2026-01-01T12:05:59Z",
                "2026/01/01 12:00:00 +0000 (~ 5m ago)",
            ),
            (
                "2026-01-01T15:00:00Z",
                "2026/01/01 12:00:00 +0000 (~ 3h ago)",
            ),
            ("2026-02-01T12:00:00Z", "2026/01/01 12:00:00 +0000"),
            ("2025-12-31T12:00:00Z", "2026/01/01 12:00:00 +0000"),
        ] {
            assert_eq!(spell(at, now.parse().unwrap(), TimeZone::UTC), text);
        }
    }
}
