//! Where a number comes from that an app publishes for its scaling.

use super::RuleError;

/// Longest path, in bytes.
pub const MAX_PATH: usize = 1000;
/// Longest command, in bytes.
pub const MAX_COMMAND: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Prometheus text that dynos answer with at a path.
    Path {
        path: String,
        /// Each dyno says the same, so that one is asked; else what all say is added up.
        shared: bool,
    },
    /// What a shell line prints in one of the dynos.
    Command(String),
}

impl Source {
    /// `path` with its query, as it stands in a request.
    pub fn path(path: &str, shared: bool) -> Result<Self, RuleError> {
        let plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
        let fits = path.starts_with('/') && path.len() <= MAX_PATH && path.bytes().all(plain);
        fits.then(|| Self::Path {
            path: path.to_owned(),
            shared,
        })
        .ok_or(RuleError::Path)
    }

    pub fn command(command: &str) -> Result<Self, RuleError> {
        let fits =
            !command.trim().is_empty() && command.len() <= MAX_COMMAND && !command.contains('\0');
        fits.then(|| Self::Command(command.to_owned()))
            .ok_or(RuleError::Command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_commands_are_checked() {
        for path in ["/metrics", "/metrics?names=jobs,mails", "/"] {
            assert!(Source::path(path, true).is_ok(), "{path}");
        }
        let long = format!("/{}", "x".repeat(MAX_PATH));
        for path in [
            "",
            "metrics",
            "http://a/",
            "/a b",
            "/a\r\nHost: b",
            "/ä",
            "/a#b",
            &long,
        ] {
            assert_eq!(Source::path(path, false), Err(RuleError::Path), "{path}");
        }
        assert!(Source::command("bin/jobs --waiting").is_ok());
        for command in ["", "  ", "a\0b", &"x".repeat(MAX_COMMAND + 1)] {
            assert_eq!(Source::command(command), Err(RuleError::Command));
        }
    }
}
