//! Why a push was rejected, in the words that whoever pushed reads.

use std::time::Duration;

use ropewalk_model::AppName;

use super::queue::Busy;
use crate::Error;

#[derive(Debug)]
pub(crate) enum Failure {
    /// What was pushed cannot be built at all: submodules, too many files, no files.
    Source(Vec<String>),
    /// No built-in buildpack fits; the driver has said so.
    NothingDetected,
    /// A buildpack that was set does not apply; the driver has said so.
    NotApplicable {
        buildpack: String,
    },
    /// A buildpack that was set cannot be had.
    Buildpack(String),
    Compile {
        display: String,
    },
    ReleaseScript {
        display: String,
    },
    OutOfMemory {
        mib: u64,
    },
    OutOfTime(Duration),
    OutOfDisk {
        mib: u64,
    },
    OutOfInodes {
        left: u64,
    },
    /// The Procfile, what bin/release said, or the built tree is wrong.
    App(String),
    TooLarge {
        bytes: u64,
    },
    Busy(Busy),
    LineFull,
    /// The app was destroyed meanwhile.
    AppIsGone,
    /// Somebody wanted it to end.
    Stopped,
    /// The client went away, or the server stops.
    Cancelled,
    /// The release was made and did not take effect.
    Release(Vec<String>),
    Platform(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        match error.into() {
            Error::Slug(error) if error.is_about_the_app() => Self::App(error.to_string()),
            error => Self::Platform(error),
        }
    }
}

impl Failure {
    /// One line for the build's row.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Source(lines) | Self::Release(lines) => {
                lines.first().cloned().unwrap_or_default()
            }
            Self::NothingDetected => "no buildpack was detected".to_owned(),
            Self::NotApplicable { buildpack } => {
                format!("the app is not compatible with buildpack {buildpack}")
            }
            Self::Buildpack(text) | Self::App(text) => text.clone(),
            Self::Compile { display } => format!("failed to compile {display} app"),
            Self::ReleaseScript { display } => {
                format!("bin/release of the {display} buildpack failed")
            }
            Self::OutOfMemory { mib } => {
                format!("the build needed more than its {mib} MiB of memory")
            }
            Self::OutOfTime(limit) => format!(
                "the build took longer than {} minutes",
                limit.as_secs() / 60
            ),
            Self::OutOfDisk { .. } | Self::OutOfInodes { .. } => {
                "the host's disk is nearly full".to_owned()
            }
            Self::TooLarge { bytes } => format!("the slug is {} MB", bytes / 1_000_000),
            Self::Busy(_) => "another build is under way".to_owned(),
            Self::Stopped => "cancelled".to_owned(),
            Self::LineFull => "too many builds are waiting".to_owned(),
            Self::AppIsGone => "the app was destroyed".to_owned(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Platform(_) => "a fault of the platform".to_owned(),
        }
    }

    /// What is printed, in Heroku's layout. The texts of the driver stand above it.
    ///
    /// `pushed`: whoever reads it pushed with git, and git has rejected the push.
    pub(crate) fn lines(&self, app: &AppName, pushed: bool) -> Vec<String> {
        let mut lines = vec![String::new()];
        let mut warn = |text: &str| lines.push(format!(" !     {text}").trim_end().to_owned());
        match self {
            Self::Cancelled => return vec![],
            Self::Busy(busy) => {
                warn(&busy.to_string());
                warn("Nothing was changed. Push again when it has ended.");
            }
            Self::Stopped => warn("The build was cancelled. Nothing was changed."),
            Self::AppIsGone => {
                warn(&format!(
                    "The app {app} was destroyed while it was being built."
                ));
                warn("The build was ended, and nothing of it is kept.");
            }
            Self::LineFull => {
                warn("Too many builds wait on this host already.");
                warn("Nothing was changed. Try again in a few minutes.");
            }
            Self::Source(texts) | Self::Release(texts) => texts.iter().for_each(|text| warn(text)),
            Self::NothingDetected => warn("Push rejected, no buildpack fits this app."),
            Self::NotApplicable { buildpack } => {
                warn(&format!(
                    "Push rejected, {buildpack} does not fit this app."
                ));
            }
            Self::Compile { display } => {
                warn(&format!("Push rejected, failed to compile {display} app."))
            }
            Self::ReleaseScript { display } => {
                warn(&format!(
                    "Push rejected, bin/release of the {display} buildpack failed."
                ));
            }
            Self::Buildpack(text) | Self::App(text) => {
                warn(text);
                warn("Push rejected.");
            }
            Self::OutOfMemory { mib } => {
                warn(&format!(
                    "The build ran out of memory: it may use {mib} MiB."
                ));
                warn("Push rejected.");
            }
            Self::OutOfTime(limit) => {
                warn(&format!(
                    "The build took longer than {} minutes and was ended.",
                    limit.as_secs() / 60
                ));
                warn("Push rejected.");
            }
            Self::OutOfDisk { mib } => {
                warn(&format!(
                    "The disk of this host is nearly full: only {mib} MiB are free."
                ));
                warn(
                    "Nothing was changed. Whoever runs this host must free space; running apps go on.",
                );
            }
            Self::OutOfInodes { left } => {
                warn(&format!(
                    "The disk of this host has room for only {left} more files (inodes)."
                ));
                warn(
                    "Nothing was changed. Whoever runs this host must remove files; running apps go on.",
                );
            }
            Self::TooLarge { bytes } => {
                warn(&format!(
                    "Compiled slug size: {:.1}M is too large (max is {}M).",
                    *bytes as f64 / 1e6,
                    ropewalk_slug::image::HARD_LIMIT / 1_000_000
                ));
                warn("Remove large files from the repository, or name them in .slugignore.");
            }
            Self::Platform(error) => {
                warn(&match error {
                    Error::NoStack(name) => {
                        format!("The stack {name} has not been built on this host.")
                    }
                    Error::Engine(_) => {
                        "Docker Engine on this host does not do what the build needs.".to_owned()
                    }
                    Error::Store(_) => "Ropewalk cannot write to its ledger.".to_owned(),
                    _ => "Ropewalk failed on this push.".to_owned(),
                });
                warn("This is a fault of the platform, not of your app; its log tells more.");
            }
        }
        if !matches!(self, Self::Release(_)) {
            lines.extend([String::new(), " !     Push failed".to_owned()]);
        }
        if pushed {
            lines.extend([String::new(), format!("!\tPush rejected to {app}.")]);
        }
        lines.push(String::new());
        lines
    }
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Another build of this app is under way: {} began it {} ago.",
            self.who,
            span(self.for_long)
        )
    }
}

/// `42 s`, `3 min`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_end_as_herokus_do() {
        let app = AppName::parse("demo").unwrap();
        let failure = Failure::Compile {
            display: "Node.js".to_owned(),
        };
        assert_eq!(
            failure.lines(&app, true).join("\n"),
            "\n !     Push rejected, failed to compile Node.js app.\n\n !     Push failed\n\n!\tPush rejected to demo.\n"
        );
        let busy = Failure::Busy(Busy {
            who: "dev@example.com".to_owned(),
            for_long: Duration::from_secs(42),
        });
        assert!(busy.lines(&app, true)[1].contains("dev@example.com began it 42 s ago"));
    }

    #[test]
    fn limits_are_named() {
        let app = AppName::parse("demo").unwrap();
        for (failure, words) in [
            (
                Failure::OutOfMemory { mib: 2048 },
                "out of memory: it may use 2048 MiB",
            ),
            (
                Failure::OutOfTime(Duration::from_secs(900)),
                "longer than 15 minutes",
            ),
            (Failure::OutOfDisk { mib: 12 }, "only 12 MiB are free"),
            (Failure::OutOfInodes { left: 7 }, "only 7 more files"),
            (
                Failure::TooLarge { bytes: 502_500_000 },
                "502.5M is too large (max is 500M)",
            ),
        ] {
            assert!(
                failure.lines(&app, true).join("\n").contains(words),
                "{words}"
            );
        }
    }
}
