//! Scheduled jobs: their names, what is done when runs overlap or are missed, and what bounds them.

use std::fmt;
use std::ops::RangeInclusive;

use thiserror::Error;

/// Jobs of one app.
pub const MOST_JOBS: usize = 100;
/// Runs of one job that are remembered.
pub const MOST_RUNS: usize = 100;
/// Longest command, in bytes.
pub const MAX_COMMAND: usize = 32 << 10;
/// Seconds after which a run is ended, where the job says nothing else: a day.
pub const TIME_LIMIT: u32 = 86_400;
/// What a job may say.
pub const TIME_LIMITS: RangeInclusive<u32> = 1..=86_400;

/// `nightly`: lower-case letters, digits, dashes and underscores, which an app has once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName(String);

/// Longest name, in bytes.
const MAX_NAME: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JobError {
    #[error(
        "{0:?} can be no job's name. It begins with a lower-case letter, and has at most {MAX_NAME} lower-case letters, \
         digits, dashes and underscores."
    )]
    Name(String),
    #[error("A command of 1 to {MAX_COMMAND} bytes is needed.")]
    Command,
    #[error(
        "The time limit must be {} to {} seconds.",
        TIME_LIMITS.start(),
        TIME_LIMITS.end()
    )]
    TimeLimit,
}

impl JobName {
    pub fn parse(text: &str) -> Result<Self, JobError> {
        let fits = text.len() <= MAX_NAME
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(JobError::Name(text.chars().take(MAX_NAME).collect())),
        }
    }

    /// A name for a job that was given none, made of its command; `is_taken` tells of those that are not free.
    pub fn of_command(command: &str, is_taken: impl Fn(&Self) -> bool) -> Self {
        const LONG: usize = 40;
        let mut name = String::new();
        for c in command.chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_lowercase() => name.push(c),
                c if c.is_ascii_digit() && !name.is_empty() => name.push(c),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
            if name.len() == LONG {
                break;
            }
        }
        let name = match name.trim_end_matches('-') {
            "" => "job",
            name => name,
        };
        let numbered = (2_u64..).map(|number| Self(format!("{name}-{number}")));
        std::iter::once(Self(name.to_owned()))
            .chain(numbered)
            .find(|name| !is_taken(name))
            .unwrap_or_else(|| Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

pub fn check_command(command: &str) -> Result<(), JobError> {
    match command.trim().is_empty() || command.len() > MAX_COMMAND || command.contains('\0') {
        true => Err(JobError::Command),
        false => Ok(()),
    }
}

pub fn check_time_limit(seconds: u32) -> Result<(), JobError> {
    match TIME_LIMITS.contains(&seconds) {
        true => Ok(()),
        false => Err(JobError::TimeLimit),
    }
}

/// When the time of a run comes while the one before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It does not run.
    #[default]
    Skip,
    /// Both run.
    Allow,
    /// The other is ended first.
    Replace,
}

/// When the time of a run came while nothing could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// It does not run.
    #[default]
    Skip,
    /// However many were missed, the last one runs.
    Once,
}

/// Who made a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A person, by the CLI or the API.
    Cli,
    /// `app.json` of the release that serves.
    AppJson,
}

/// Why a run was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Schedule,
    /// Somebody wanted it now.
    Manual,
}

/// What has become of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Its time has come, and it has no dyno yet.
    Waiting,
    /// It has a dyno.
    Running,
    Succeeded,
    Failed,
    /// It never had a dyno, for a reason that is the app's.
    Skipped,
    /// It never had a dyno, for nothing could run when its time came.
    Missed,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

words!(Overlap { Skip = "skip", Allow = "allow", Replace = "replace" });
words!(Missed { Skip = "skip", Once = "once" });
words!(Source { Cli = "cli", AppJson = "app.json" });
words!(Trigger { Schedule = "schedule", Manual = "manual" });
words!(RunState {
    Waiting = "waiting",
    Running = "running",
    Succeeded = "succeeded",
    Failed = "failed",
    Skipped = "skipped",
    Missed = "missed",
});

impl RunState {
    /// Whether it may still come to something.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for name in ["nightly", "a", "send-mail_2"] {
            assert_eq!(JobName::parse(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            "Nightly",
            "2nd",
            "-a",
            "a b",
            "a/b",
            "ü",
            &"a".repeat(64),
        ] {
            assert!(JobName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_job_without_a_name_gets_one_of_its_command() {
        let free = |command: &str| JobName::of_command(command, |_| false).to_string();
        assert_eq!(free("rake db:cleanup --all"), "rake-db-cleanup-all");
        assert_eq!(free("./bin/Send_mail"), "bin-send-mail");
        assert_eq!(free("7z && é"), "z");
        assert_eq!(free("!"), "job");
        assert!(free(&"x".repeat(1000)).len() <= 40);
        let second = JobName::of_command("sync", |name| name.as_str() == "sync");
        assert_eq!(second.as_str(), "sync-2");
        assert!(JobName::parse(&free("a 1 2 3")).is_ok());
    }

    #[test]
    fn commands_and_limits_are_bounded() {
        assert_eq!(check_command("true"), Ok(()));
        for command in ["", "  ", "a\0b", &"x".repeat(MAX_COMMAND + 1)] {
            assert_eq!(check_command(command), Err(JobError::Command));
        }
        assert_eq!(check_time_limit(86_400), Ok(()));
        let error = check_time_limit(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The time limit must be 1 to 86400 seconds."
        );
    }
}
