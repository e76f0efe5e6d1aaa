//! A dyno's name and the states it goes through.

use std::fmt;
use std::time::Duration;

use crate::id::DynoId;
use crate::name::{NameError, ProcessType};

/// A web dyno must bind `$PORT` within this time of its start, else R10 (Heroku Dev Center, "Error Codes").
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(60);
/// Between SIGTERM and SIGKILL (R12).
pub const STOP_GRACE: Duration = Duration::from_secs(30);
/// The port every web dyno is told to bind; each dyno has an address of its own.
pub const PORT: u16 = 5000;
/// Owner of `/app` and of every process in a dyno or build.
pub const DYNO_UID: u32 = 20000;

/// `web.1`: process type and number. One-off dynos have random numbers: `run.4821`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DynoName {
    pub process_type: ProcessType,
    pub number: u32,
}

impl DynoName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::ProcessType(text.to_owned());
        let (kind, number) = text.rsplit_once('.').ok_or_else(bad)?;
        Ok(Self {
            process_type: ProcessType::parse(kind)?,
            number: number.parse().map_err(|_| bad())?,
        })
    }
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process_type, self.number)
    }
}

/// Heroku's dyno states.
///
/// ```text
/// starting → up → down
///     ↓       ↓
///     crashed → starting (after the back-off)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DynoState {
    /// The container runs; a web dyno has not bound its port yet.
    Starting,
    Up,
    /// Asleep; nothing runs.
    Idle,
    /// Ended by itself, or did not bind its port in time.
    Crashed,
    /// Being stopped, or stopped on purpose.
    Down,
}

impl DynoState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Crashed => "crashed",
            Self::Down => "down",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Starting,
            Self::Up,
            Self::Idle,
            Self::Crashed,
            Self::Down,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// How long to wait before restart number `crashes` (1 is the first crash): at once, then 10 s doubling to
/// 10 minutes. Without jitter: see [`jittered_delay`].
pub fn restart_delay(crashes: u32) -> Duration {
    match crashes {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs((10u64 << (n - 2).min(6)).min(600)),
    }
}

/// The same with up to 20 % more, by the dyno's id, so that dynos that crashed together do not start together.
pub fn jittered_delay(id: DynoId, crashes: u32) -> Duration {
    let base = restart_delay(crashes);
    let share = u32::from(id.0.as_bytes()[15]) % 21;
    base + base * share / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_is_immediate_then_doubles_to_ten_minutes() {
        let seconds: Vec<u64> = (1..=10).map(|n| restart_delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(restart_delay(u32::MAX).as_secs(), 600);
    }

    #[test]
    fn dyno_names_round_trip() {
        for name in ["web.1", "example-worker.12", "run.4821"] {
            assert_eq!(DynoName::parse(name).unwrap().to_string(), name);
        }
        for bad in ["web", "web.", ".1", "web.x", "web.-1"] {
            assert!(DynoName::parse(bad).is_err(), "{bad}");
        }
    }
}
