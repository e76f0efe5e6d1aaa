//! How an app's dynos start and stop, where it asks for something else than the platform's habits.
//!
//! Each setting has a name by which people set it (`boot-timeout=2m`), a text, and limits. One that is said of a process
//! type goes before one that is said of the whole app. Who keeps settings keeps these texts.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::dyno::STOP_GRACE;
use crate::name::ProcessType;

/// Longest text of one setting.
const MAX_TEXT: usize = 64;
const HOUR: u64 = 3600;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// From a web dyno's start until its port must be bound (R10). Heroku allows up to 180 s (Dev Center, "Web Dyno
    /// Startup Behavior").
    BootTimeout,
    /// From SIGTERM to SIGKILL (R12), and before that for requests in flight.
    StopGrace,
    /// The longest that a dyno runs before another takes its place; Heroku's is a day (Dev Center, "Dyno Lifecycle").
    Cycle,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DynoSettingError {
    #[error("There is no dyno setting {0}. There are: {names}.", names = Name::ALL.map(Name::as_str).join(", "))]
    Unknown(String),
    #[error("{name} must be {must}, not {text:?}. For example: {name}={example}.", name = .0.as_str(), must = .0.must(), example = .0.example(), text = .1)]
    Text(Name, String),
}

impl Name {
    pub const ALL: [Self; 3] = [Self::BootTimeout, Self::StopGrace, Self::Cycle];

    /// `boot-timeout`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BootTimeout => "boot-timeout",
            Self::StopGrace => "stop-grace",
            Self::Cycle => "cycle",
        }
    }

    /// # Errors
    /// With those that there are.
    pub fn parse(text: &str) -> Result<Self, DynoSettingError> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| DynoSettingError::Unknown(clip(text)))
    }

    /// A text that may be its value.
    pub fn example(self) -> &'static str {
        match self {
            Self::BootTimeout => "2m",
            Self::StopGrace => "60s",
            Self::Cycle => "24h",
        }
    }

    /// What its value has to be, for error texts.
    fn must(self) -> &'static str {
        match self {
            Self::BootTimeout => "a time of 1 to 180 seconds",
            Self::StopGrace => "a time of 1 to 300 seconds",
            Self::Cycle => "a time of 1 hour to 30 days",
        }
    }

    fn seconds(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::BootTimeout => 1..=180,
            Self::StopGrace => 1..=300,
            Self::Cycle => HOUR..=30 * 24 * HOUR,
        }
    }
}

/// What is said of one process type, or of the whole app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DynoSettings {
    pub boot_timeout: Option<Duration>,
    pub stop_grace: Option<Duration>,
    pub cycle: Option<Duration>,
}

impl DynoSettings {
    fn part(&mut self, name: Name) -> &mut Option<Duration> {
        match name {
            Name::BootTimeout => &mut self.boot_timeout,
            Name::StopGrace => &mut self.stop_grace,
            Name::Cycle => &mut self.cycle,
        }
    }

    /// Sets one as people type it: `90s`, `2m`, `24h`, `1d`, or seconds.
    ///
    /// # Errors
    /// A text that says no time, or one beyond the limits; the error says which they are.
    pub fn set(&mut self, name: Name, text: &str) -> Result<(), DynoSettingError> {
        let refused = || DynoSettingError::Text(name, clip(text));
        let seconds = seconds(text).filter(|seconds| name.seconds().contains(seconds));
        *self.part(name) = Some(Duration::from_secs(seconds.ok_or_else(refused)?));
        Ok(())
    }

    pub fn unset(&mut self, name: Name) {
        *self.part(name) = None;
    }

    /// What one is set to; `None` when it is not.
    pub fn text(&self, name: Name) -> Option<String> {
        let mut copy = *self;
        copy.part(name).map(|time| told(time.as_secs()))
    }

    /// These, and where they say nothing, those.
    fn or(self, those: Self) -> Self {
        Self {
            boot_timeout: self.boot_timeout.or(those.boot_timeout),
            stop_grace: self.stop_grace.or(those.stop_grace),
            cycle: self.cycle.or(those.cycle),
        }
    }
}

/// All that an app says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppDynoSettings {
    /// Of every type that says nothing else.
    pub all: DynoSettings,
    pub types: BTreeMap<ProcessType, DynoSettings>,
}

impl AppDynoSettings {
    /// What holds for a process type. Where nobody said anything, it is for the platform's habits to fill.
    pub fn of(&self, process_type: &ProcessType) -> DynoSettings {
        let own = self.types.get(process_type).copied().unwrap_or_default();
        own.or(self.all)
    }

    pub fn stop_grace(&self, process_type: &ProcessType) -> Duration {
        self.of(process_type).stop_grace.unwrap_or(STOP_GRACE)
    }

    /// What is said of one type alone, or of the whole app.
    pub fn part(&mut self, process_type: Option<&ProcessType>) -> &mut DynoSettings {
        match process_type {
            None => &mut self.all,
            Some(name) => self.types.entry(name.clone()).or_default(),
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => HOUR,
        "d" => 24 * HOUR,
        _ => return None,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    number.checked_mul(unit)
}

fn told(seconds: u64) -> String {
    match seconds {
        seconds if seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Enough of a text to know it by.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_set_told_and_unset_by_its_name() {
        for name in Name::ALL {
            assert_eq!(Name::parse(name.as_str()), Ok(name));
            let mut settings = DynoSettings::default();
            assert_eq!(settings.text(name), None);
            settings.set(name, name.example()).unwrap();
            let mut again = DynoSettings::default();
            again.set(name, &settings.text(name).unwrap()).unwrap();
            assert_eq!(again, settings);
            settings.unset(name);
            assert_eq!(settings, DynoSettings::default());
            for bad in [
                "",
                "0",
                "-1",
                "+1",
                "1.5m",
                "1 m",
                "1w",
                "999999999999999999999",
                "1é",
                "s",
            ] {
                let error = settings.set(name, bad).unwrap_err().to_string();
                let example = format!("{}={}", name.as_str(), name.example());
                assert!(error.contains(&example), "{error}");
            }
        }
    }

    #[test]
    fn times_have_limits() {
        let mut settings = DynoSettings::default();
        for (name, least, most) in [
            (Name::BootTimeout, "1s", "3m"),
            (Name::StopGrace, "1s", "5m"),
            (Name::Cycle, "1h", "30d"),
        ] {
            settings.set(name, least).unwrap();
            settings.set(name, most).unwrap();
        }
        for (name, bad) in [
            (Name::BootTimeout, "181"),
            (Name::StopGrace, "301s"),
            (Name::Cycle, "59m"),
            (Name::Cycle, "31d"),
        ] {
            assert!(settings.set(name, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_said_of_a_type_goes_before_what_is_said_of_all() {
        let mut app = AppDynoSettings::default();
        let (web, worker) = (ProcessType::web(), ProcessType::parse("worker").unwrap());
        assert_eq!(app.of(&web), DynoSettings::default());
        assert_eq!(app.stop_grace(&web), STOP_GRACE);
        app.part(None).set(Name::StopGrace, "60").unwrap();
        app.part(Some(&worker)).set(Name::StopGrace, "5m").unwrap();
        app.part(Some(&worker)).set(Name::Cycle, "1d").unwrap();
        assert_eq!(app.stop_grace(&web).as_secs(), 60);
        assert_eq!(app.stop_grace(&worker).as_secs(), 300);
        assert_eq!(app.of(&web).cycle, None);
        assert_eq!(app.of(&worker).cycle.unwrap().as_secs(), 86_400);
    }
}
