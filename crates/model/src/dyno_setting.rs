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
    /// For requests in flight, before SIGTERM; as long as the grace where nothing is said.
    Drain,
    /// Whether a release's dynos of a type boot beside all that serve, or take their places by and by.
    Rollout,
    /// How many dynos more than wanted there may be while places are taken by and by.
    Surge,
    /// How many places are taken at a time.
    Batch,
    /// Whether a dyno that serves no requests ends before its successor starts.
    Order,
    /// There is never more than one, not even while a release takes the place of another.
    Singleton,
    /// Of an app: from a release's start until its dynos must have passed.
    Deadline,
}

/// How a release's dynos take the place of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    BlueGreen,
    Rolling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    StopFirst,
    StartFirst,
}

/// Words that some settings have as their texts.
trait Word: Sized + Copy + PartialEq + 'static {
    const ALL: [(Self, &'static str); 2];

    fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, word)| *word == text);
        found.map(|(value, _)| value)
    }

    fn word(self) -> String {
        let found = Self::ALL.into_iter().find(|(value, _)| *value == self);
        found.map_or_else(String::new, |(_, word)| word.to_owned())
    }
}

impl Word for Rollout {
    const ALL: [(Self, &'static str); 2] =
        [(Self::BlueGreen, "blue-green"), (Self::Rolling, "rolling")];
}

impl Word for Order {
    const ALL: [(Self, &'static str); 2] = [
        (Self::StopFirst, "stop-first"),
        (Self::StartFirst, "start-first"),
    ];
}

impl Word for bool {
    const ALL: [(Self, &'static str); 2] = [(true, "on"), (false, "off")];
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DynoSettingError {
    #[error("There is no dyno setting {0}. There are: {names}.", names = Name::ALL.map(Name::as_str).join(", "))]
    Unknown(String),
    #[error("{name} must be {must}, not {text:?}. For example: {name}={example}.", name = .0.as_str(), must = .0.must(), example = .0.example(), text = .1)]
    Text(Name, String),
}

impl Name {
    pub const ALL: [Self; 14] = [
        Self::BootTimeout,
        Self::StopGrace,
        Self::Cycle,
        Self::Drain,
        Self::Rollout,
        Self::Surge,
        Self::Batch,
        Self::Order,
        Self::Singleton,
        Self::Deadline,
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
            Self::Drain => "drain",
            Self::Rollout => "rollout",
            Self::Surge => "surge",
            Self::Batch => "batch",
            Self::Order => "order",
            Self::Singleton => "singleton",
            Self::Deadline => "deadline",
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
            Self::Drain => "60s",
            Self::Rollout => "rolling",
            Self::Surge => "2",
            Self::Batch => "2",
            Self::Order => "start-first",
            Self::Singleton => "on",
            Self::Deadline => "20m",
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
            Self::Drain => "a time of 1 to 300 seconds",
            Self::Rollout => "blue-green or rolling",
            Self::Surge => "a number of 0 to 100 dynos",
            Self::Batch => "a number of 1 to 100 dynos",
            Self::Order => "stop-first or start-first",
            Self::Singleton => "on or off",
            Self::Deadline => "a time of 1 minute to 24 hours",
        }
    }

    /// Seconds, or dynos; of words there are none.
    fn limits(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::BootTimeout => 1..=180,
            Self::StopGrace | Self::Drain => 1..=300,
            Self::Cycle => HOUR..=30 * 24 * HOUR,
            Self::SleepAfter => 10..=30 * 24 * HOUR,
            Self::StopAfter => 1..=30 * 24 * HOUR,
            Self::Deadline => 60..=24 * HOUR,
            Self::Surge => 0..=100,
            Self::Batch => 1..=100,
            Self::Rollout | Self::Order | Self::Singleton | Self::Sleep | Self::WaitingPage => {
                0..=0
            }
        }
    }

    /// Whether it can be said of the whole app alone.
    pub fn is_of_app(self) -> bool {
        self == Self::Deadline
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
    pub drain: Option<Duration>,
    pub rollout: Option<Rollout>,
    pub surge: Option<u32>,
    pub batch: Option<u32>,
    pub order: Option<Order>,
    pub singleton: Option<bool>,
    pub deadline: Option<Duration>,
}

impl DynoSettings {
    /// Sets one as people type it: `90s`, `2m`, `24h`, `1d`, or seconds; a number of dynos; or a word.
    ///
    /// # Errors
    /// A text that says no such thing, or one beyond the limits; the error says which they are.
    pub fn set(&mut self, name: Name, text: &str) -> Result<(), DynoSettingError> {
        self.put(name, Some(text))
            .then_some(())
            .ok_or_else(|| DynoSettingError::Text(name, clip(text)))
    }

    pub fn unset(&mut self, name: Name) {
        self.put(name, None);
    }

    /// `false` when the text is none of the setting's.
    fn put(&mut self, name: Name, text: Option<&str>) -> bool {
        fn take<T>(
            part: &mut Option<T>,
            text: Option<&str>,
            read: impl Fn(&str) -> Option<T>,
        ) -> bool {
            let value = text.map(read);
            let is_one = value.as_ref().is_none_or(Option::is_some);
            if is_one {
                *part = value.flatten();
            }
            is_one
        }
        let within = |number: &u64| name.limits().contains(number);
        let time = |text: &str| Some(Duration::from_secs(seconds(text).filter(within)?));
        // `off` is none at all, and kept as zero.
        let time_or_off = |text: &str| match text {
            "off" => Some(Duration::ZERO),
            text => time(text),
        };
        let count = |text: &str| u32::try_from(number(text).filter(within)?).ok();
        match name {
            Name::BootTimeout => take(&mut self.boot_timeout, text, time),
            Name::StopGrace => take(&mut self.stop_grace, text, time),
            Name::Cycle => take(&mut self.cycle, text, time),
            Name::Drain => take(&mut self.drain, text, time),
            Name::Deadline => take(&mut self.deadline, text, time),
            Name::Surge => take(&mut self.surge, text, count),
            Name::Batch => take(&mut self.batch, text, count),
            Name::Rollout => take(&mut self.rollout, text, Word::parse),
            Name::Order => take(&mut self.order, text, Word::parse),
            Name::Singleton => take(&mut self.singleton, text, Word::parse),
            Name::SleepAfter => take(&mut self.sleep_after, text, time_or_off),
            Name::StopAfter => take(&mut self.stop_after, text, time_or_off),
            Name::Sleep => take(&mut self.sleep, text, Word::parse),
            Name::WaitingPage => take(&mut self.waiting_page, text, Word::parse),
        }
    }

    /// What one is set to; `None` when it is not.
    pub fn text(&self, name: Name) -> Option<String> {
        let time = |time: Option<Duration>| time.map(|time| told(time.as_secs()));
        let time_or_off = |of: Option<Duration>| match of {
            Some(Duration::ZERO) => Some("off".to_owned()),
            of => time(of),
        };
        let count = |count: Option<u32>| count.map(|count| count.to_string());
        match name {
            Name::BootTimeout => time(self.boot_timeout),
            Name::StopGrace => time(self.stop_grace),
            Name::Cycle => time(self.cycle),
            Name::Drain => time(self.drain),
            Name::Deadline => time(self.deadline),
            Name::Surge => count(self.surge),
            Name::Batch => count(self.batch),
            Name::Rollout => self.rollout.map(Word::word),
            Name::Order => self.order.map(Word::word),
            Name::Singleton => self.singleton.map(Word::word),
            Name::SleepAfter => time_or_off(self.sleep_after),
            Name::StopAfter => time_or_off(self.stop_after),
            Name::Sleep => self.sleep.map(Word::word),
            Name::WaitingPage => self.waiting_page.map(Word::word),
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
            drain: self.drain.or(those.drain),
            rollout: self.rollout.or(those.rollout),
            surge: self.surge.or(those.surge),
            batch: self.batch.or(those.batch),
            order: self.order.or(those.order),
            singleton: self.singleton.or(those.singleton),
            deadline: self.deadline.or(those.deadline),
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

    /// How many dynos of a type there may be, however many are wanted.
    pub fn most(&self, process_type: &ProcessType) -> Option<u32> {
        (self.of(process_type).singleton == Some(true)).then_some(1)
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
    number(digits)?.checked_mul(unit)
}

fn number(text: &str) -> Option<u64> {
    let is_number = text.len() <= MAX_TEXT && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
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
                if (name, bad) == (Name::Surge, "0") {
                    continue;
                }
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
            (Name::Drain, "1s", "5m"),
            (Name::Deadline, "1m", "24h"),
            (Name::Surge, "0", "100"),
            (Name::Batch, "1", "100"),
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
            (Name::Drain, "301"),
            (Name::Deadline, "59"),
            (Name::Surge, "101"),
            (Name::Batch, "2s"),
            (Name::Rollout, "Rolling"),
            (Name::Singleton, "true"),
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
