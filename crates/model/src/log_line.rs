//! One line of an app's log, in the form clients parse: `<time> <source>[<process>]: <text>`.

/// Who wrote a line. The platform assigns it; a dyno cannot choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// The app's own output.
    App,
    /// The platform: router, scheduler, builder, API.
    Heroku,
}

impl LogSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }
}

/// Longest text of one line, in bytes; longer lines are split (Heroku Logplex).
pub const MAX_TEXT: usize = 10_000;

/// `at` is RFC 3339 with microseconds and `+00:00`.
pub fn format_line(at: &str, source: LogSource, process: &str, text: &str) -> String {
    format!("{at} {}[{process}]: {text}", source.as_str())
}
