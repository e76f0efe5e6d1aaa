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
    /// Without a request before the app sleeps; said of `web`, or of all.
    SleepAfter,
    /// From when it fell asleep until nothing of it is there any more.
    StopAfter,
    /// Whether dynos of another type than `web` sleep when the app does.
    Sleep,
    /// Browsers that wake the app are shown a page meanwhile.
    WaitingPage,
}

/// Of which kind a setting's values are.
#[derive(Debug)]
enum Part<'a> {
    Time(&'a mut Option<Duration>),
    /// `off` is none at all, and kept as zero.
    TimeOrOff(&'a mut Option<Duration>),
    Switch(&'a mut Option<bool>),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DynoSettingError {
    #[error("There is no dyno setting {0}. There are: {names}.", names = Name::ALL.map(Name::as_str).join(", "))]
    Unknown(String),
    #[error("{name} must be {must}, not {text:?}. For example: {name}={example}.", name = .0.as_str(), must = .0.must(), example = .0.example(), text = .1)]
    Text(Name, String),
}

impl Name {
    pub const ALL: [Self; 7] = [
        Self::BootTimeout,
        Self::StopGrace,
        Self::Cycle,
        Self::SleepAfter,
        Self::StopAfter,
        Self::Sleep,
        Self::WaitingPage,
    ];

    /// `boot-timeout`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BootTimeout => "boot-timeout",
            Self::StopGrace => "stop-grace",
            Self::Cycle => "cycle",
            Self::SleepAfter => "sleep-after",
            Self::StopAfter => "stop-after",
            Self::Sleep => "sleep",
            Self::WaitingPage => "waiting-page",
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
            Self::SleepAfter => "30m",
            Self::StopAfter => "1h",
            Self::Sleep | Self::WaitingPage => "on",
        }
    }

    /// What its value has to be, for error texts.
    fn must(self) -> &'static str {
        match self {
            Self::BootTimeout => "a time of 1 to 180 seconds",
            Self::StopGrace => "a time of 1 to 300 seconds",
            Self::Cycle => "a time of 1 hour to 30 days",
            Self::SleepAfter => "a time of 10 seconds to 30 days, or off",
            Self::StopAfter => "a time of 1 second to 30 days, or off",
            Self::Sleep | Self::WaitingPage => "on or off",
        }
    }

    fn seconds(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::BootTimeout => 1..=180,
            Self::StopGrace => 1..=300,
            Self::Cycle => HOUR..=30 * 24 * HOUR,
            Self::SleepAfter => 10..=30 * 24 * HOUR,
            Self::StopAfter => 1..=30 * 24 * HOUR,
            Self::Sleep | Self::WaitingPage => 0..=0,
        }
    }
}

/// What is said of one process type, or of the whole app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DynoSettings {
    pub boot_timeout: Option<Duration>,
    pub stop_grace: Option<Duration>,
    pub cycle: Option<Duration>,
    /// Zero for never.
    pub sleep_after: Option<Duration>,
    /// Zero for never.
    pub stop_after: Option<Duration>,
    pub sleep: Option<bool>,
    pub waiting_page: Option<bool>,
}

impl DynoSettings {
    fn part(&mut self, name: Name) -> Part<'_> {
        match name {
            Name::BootTimeout => Part::Time(&mut self.boot_timeout),
            Name::StopGrace => Part::Time(&mut self.stop_grace),
            Name::Cycle => Part::Time(&mut self.cycle),
            Name::SleepAfter => Part::TimeOrOff(&mut self.sleep_after),
            Name::StopAfter => Part::TimeOrOff(&mut self.stop_after),
            Name::Sleep => Part::Switch(&mut self.sleep),
            Name::WaitingPage => Part::Switch(&mut self.waiting_page),
        }
    }

    /// Sets one as people type it: `90s`, `2m`, `24h`, `1d`, or seconds; `on` or `off`.
    ///
    /// # Errors
    /// A text that says no such thing, or a time beyond the limits; the error says which they are.
    pub fn set(&mut self, name: Name, text: &str) -> Result<(), DynoSettingError> {
        let refused = || DynoSettingError::Text(name, clip(text));
        let seconds = seconds(text).filter(|seconds| name.seconds().contains(seconds));
        let time = || seconds.map(Duration::from_secs).ok_or_else(refused);
        match (self.part(name), text) {
            (Part::TimeOrOff(part), "off") => *part = Some(Duration::ZERO),
            (Part::Time(part) | Part::TimeOrOff(part), _) => *part = Some(time()?),
            (Part::Switch(part), "on" | "off") => *part = Some(text == "on"),
            (Part::Switch(_), _) => return Err(refused()),
        }
        Ok(())
    }

    pub fn unset(&mut self, name: Name) {
        match self.part(name) {
            Part::Time(part) | Part::TimeOrOff(part) => *part = None,
            Part::Switch(part) => *part = None,
        }
    }

    /// What one is set to; `None` when it is not.
    pub fn text(&self, name: Name) -> Option<String> {
        let mut copy = *self;
        match copy.part(name) {
            Part::TimeOrOff(Some(Duration::ZERO)) | Part::Switch(Some(false)) => Some("off".into()),
            Part::Time(time) | Part::TimeOrOff(time) => time.map(|time| told(time.as_secs())),
            Part::Switch(on) => on.map(|_| "on".into()),
        }
    }

    /// These, and where they say nothing, those.
    fn or(self, those: Self) -> Self {
        Self {
            boot_timeout: self.boot_timeout.or(those.boot_timeout),
            stop_grace: self.stop_grace.or(those.stop_grace),
            cycle: self.cycle.or(those.cycle),
            sleep_after: self.sleep_after.or(those.sleep_after),
            stop_after: self.stop_after.or(those.stop_after),
            sleep: self.sleep.or(those.sleep),
            waiting_page: self.waiting_page.or(those.waiting_page),
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
            (Name::SleepAfter, "10s", "30d"),
            (Name::StopAfter, "off", "30d"),
            (Name::WaitingPage, "off", "on"),
        ] {
            settings.set(name, least).unwrap();
            settings.set(name, most).unwrap();
        }
        for (name, bad) in [
            (Name::BootTimeout, "181"),
            (Name::StopGrace, "301s"),
            (Name::Cycle, "59m"),
            (Name::Cycle, "31d"),
            (Name::SleepAfter, "9s"),
            (Name::StopAfter, "31d"),
            (Name::Sleep, "1h"),
            (Name::BootTimeout, "off"),
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
