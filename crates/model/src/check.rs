//! Health checks of dynos: what is asked of one, how often, and what its answers come to.
//!
//! An app declares one for a process type in its own files. Nothing is asked here, and no clock is read.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use thiserror::Error;

use crate::dyno::PORT;

/// Checks of one app; more than any app has types.
pub const MOST_CHECKS: usize = 50;
/// Longest path, and longest command, of a check.
const MAX_PATH: usize = 1024;
const MAX_COMMAND: usize = 4096;

/// What is asked of a dyno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `GET` of a path; any answer from 200 to 399 is a good one.
    Http { path: String, port: u16 },
    /// That a port takes connections.
    Tcp { port: u16 },
    /// That a command in the dyno ends with 0.
    Command(String),
}

/// A check as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub probe: Probe,
    /// From one question to the next, once the dyno is up.
    pub interval: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// So many bad answers in a row end a dyno that was up.
    pub threshold: u32,
    /// From a dyno's start until the first good answer; `None` for as long as a web dyno may boot.
    pub grace: Option<Duration>,
    /// Whether a dyno that is up is still asked.
    pub liveness: bool,
}

/// A number of a check, with its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    Interval,
    Timeout,
    Threshold,
    Grace,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    #[error("one of `http`, `tcp` and `command` says what is asked, and only one.")]
    Probe,
    #[error("`http` must be a path that begins with a slash and has no spaces, such as \"/up\".")]
    Path,
    #[error("`command` must be a text of 1 to {MAX_COMMAND} bytes.")]
    Command,
    #[error("`port` must be 1 to 65535.")]
    Port,
    #[error("`port` says nothing of a command.")]
    PortOfCommand,
    #[error("`{name}` must be {least} to {most}{unit}.", name = .0.as_str(), least = .0.limits().start(),
            most = .0.limits().end(), unit = .0.unit())]
    Number(Number),
}

impl Number {
    pub const ALL: [Self; 4] = [Self::Interval, Self::Timeout, Self::Threshold, Self::Grace];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Timeout => "timeout",
            Self::Threshold => "threshold",
            Self::Grace => "grace",
        }
    }

    fn limits(self) -> RangeInclusive<u64> {
        match self {
            Self::Interval => 1..=3600,
            Self::Timeout => 1..=60,
            Self::Threshold => 1..=100,
            Self::Grace => 1..=600,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Threshold => "",
            _ => " seconds",
        }
    }
}

impl Probe {
    /// # Errors
    /// A text that is no path of a request.
    pub fn http(path: &str, port: Option<u64>) -> Result<Self, CheckError> {
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_path || path.len() > MAX_PATH {
            return Err(CheckError::Path);
        }
        Ok(Self::Http {
            path: path.to_owned(),
            port: number_of_port(port)?,
        })
    }

    /// # Errors
    /// A number that is no port's.
    pub fn tcp(port: Option<u64>) -> Result<Self, CheckError> {
        Ok(Self::Tcp {
            port: number_of_port(port)?,
        })
    }

    /// # Errors
    /// A command that is empty or too long.
    pub fn command(text: &str) -> Result<Self, CheckError> {
        if text.trim().is_empty() || text.len() > MAX_COMMAND || text.contains('\0') {
            return Err(CheckError::Command);
        }
        Ok(Self::Command(text.to_owned()))
    }
}

/// `None` is the port that dynos are told to listen on.
fn number_of_port(port: Option<u64>) -> Result<u16, CheckError> {
    let Some(port) = port else { return Ok(PORT) };
    let port = u16::try_from(port).ok().and_then(NonZeroU16::new);
    Ok(port.ok_or(CheckError::Port)?.get())
}

/// `GET /up`, as reasons name it.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { path, port } if *port == PORT => write!(f, "GET {path}"),
            Self::Http { path, port } => write!(f, "GET {path} on port {port}"),
            Self::Tcp { port } => write!(f, "port {port}"),
            Self::Command(text) => {
                let line: String = text.chars().take(60).filter(|c| !c.is_control()).collect();
                write!(f, "`{line}`")
            }
        }
    }
}

impl Check {
    /// With the platform's habits.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            threshold: 3,
            grace: None,
            liveness: true,
        }
    }

    /// # Errors
    /// A number beyond its limits.
    pub fn set(&mut self, number: Number, value: u64) -> Result<(), CheckError> {
        if !number.limits().contains(&value) {
            return Err(CheckError::Number(number));
        }
        let time = Duration::from_secs(value);
        match number {
            Number::Interval => self.interval = time,
            Number::Timeout => self.timeout = time,
            Number::Grace => self.grace = Some(time),
            Number::Threshold => {
                self.threshold = u32::try_from(value).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    }
}

/// What a dyno answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Good,
    /// What was wrong with it, as `answered 503`.
    Bad(String),
}

/// What a dyno's answers came to since somebody began to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whether there was a good one.
    pub ready: bool,
    /// Bad ones since the last good one.
    pub failures: u32,
    /// The last bad one.
    pub last: Option<String>,
}

impl Tally {
    /// With one more; tells whether that changes what is to be done.
    pub fn hear(&mut self, answer: Answer, check: &Check) -> bool {
        let before = (self.ready, self.is_failing(check));
        match answer {
            Answer::Good => {
                self.ready = true;
                self.failures = 0;
            }
            Answer::Bad(text) => {
                self.failures = self.failures.saturating_add(1);
                self.last = Some(text);
            }
        }
        before != (self.ready, self.is_failing(check))
    }

    /// Whether one that is up has to end.
    pub fn is_failing(&self, check: &Check) -> bool {
        check.liveness && self.failures >= check.threshold
    }

    /// `check failed: GET /up answered 503 (3 times)`
    pub fn why(&self, check: &Check) -> String {
        let last = self.last.as_deref().unwrap_or("did not answer");
        let times = match self.failures {
            1 => "once".to_owned(),
            failures => format!("{failures} times"),
        };
        format!("check failed: {} {last} ({times})", check.probe)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check() -> Check {
        Check::new(Probe::http("/up", None).unwrap())
    }

    #[test]
    fn what_is_asked_has_limits() {
        for (path, port) in [("/", None), ("/up?deep=1", Some(1)), ("/a", Some(65_535))] {
            assert!(Probe::http(path, port).is_ok(), "{path}");
        }
        for path in ["", "up", "/ up", "/\r\nHost: x", "/é"] {
            assert_eq!(Probe::http(path, None), Err(CheckError::Path), "{path}");
        }
        assert!(Probe::http(&format!("/{}", "a".repeat(MAX_PATH)), None).is_err());
        for port in [0, 65_536, u64::MAX] {
            assert_eq!(Probe::tcp(Some(port)), Err(CheckError::Port));
        }
        for command in ["", " ", "a\0b", &"a".repeat(MAX_COMMAND + 1)] {
            assert_eq!(Probe::command(command), Err(CheckError::Command));
        }
    }

    #[test]
    fn numbers_have_limits_and_the_error_says_which() {
        let mut check = check();
        for number in Number::ALL {
            let (least, most) = number.limits().into_inner();
            for good in [least, most] {
                check.set(number, good).unwrap();
            }
            for bad in [0, most + 1, u64::MAX] {
                let text = check.set(number, bad).unwrap_err().to_string();
                assert!(text.contains(&format!("{least} to {most}")), "{text}");
            }
        }
    }

    #[test]
    fn a_reason_says_what_was_asked_what_came_and_how_often() {
        let mut tally = Tally::default();
        let check = check();
        let bad = || Answer::Bad("answered 503".to_owned());
        assert!(!tally.hear(bad(), &check));
        assert_eq!(
            tally.why(&check),
            "check failed: GET /up answered 503 (once)"
        );
        assert!(!tally.hear(bad(), &check));
        assert!(tally.hear(bad(), &check), "now it is to end");
        assert_eq!(
            tally.why(&check),
            "check failed: GET /up answered 503 (3 times)"
        );
        let port = Probe::http("/", Some(80)).unwrap().to_string();
        assert_eq!(port, "GET / on port 80");
        assert_eq!(
            Probe::command("bin/alive\n").unwrap().to_string(),
            "`bin/alive`"
        );
    }

    proptest! {
        #[test]
        fn a_dyno_ends_after_so_many_bad_answers_in_a_row_and_no_sooner(
            answers in prop::collection::vec(any::<bool>(), 0..200),
            threshold in 1..10u64,
            liveness in any::<bool>(),
        ) {
            let mut check = Check { liveness, ..check() };
            check.set(Number::Threshold, threshold).unwrap();
            let mut tally = Tally::default();
            let mut row = 0;
            for (index, good) in answers.iter().enumerate() {
                let before = (tally.ready, tally.is_failing(&check));
                let answer = if *good { Answer::Good } else { Answer::Bad("x".to_owned()) };
                let news = tally.hear(answer, &check);
                row = if *good { 0 } else { row + 1 };
                prop_assert_eq!(tally.is_failing(&check), liveness && row >= threshold);
                prop_assert_eq!(tally.ready, answers[..=index].contains(&true));
                prop_assert_eq!(news, before != (tally.ready, tally.is_failing(&check)));
            }
        }
    }
}
