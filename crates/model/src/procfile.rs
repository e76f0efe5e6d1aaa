//! The Procfile: `type: command`, one a line.
//!
//! Blank lines and lines starting with `#` are skipped; anything else that is not `type: command` is an error
//! that names its line, because a merge marker deployed in silence costs more than a rejected push.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::name::ProcessType;

/// Largest Procfile, in bytes.
pub const MAX_BYTES: usize = 64 << 10;
/// Most process types.
pub const MAX_TYPES: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Procfile {
    pub commands: BTreeMap<ProcessType, String>,
    /// For the build log, such as a type that stands twice.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProcfileError {
    #[error("Procfile is {0} bytes; the limit is {MAX_BYTES}.")]
    TooLarge(usize),
    #[error("Procfile is not UTF-8 text.")]
    NotText,
    #[error("Procfile line {line} is not `type: command`: {text}")]
    BadLine { line: usize, text: String },
    #[error("Procfile line {line}: process type {name} has no command.")]
    NoCommand { line: usize, name: String },
    #[error("Procfile declares more than {MAX_TYPES} process types.")]
    TooManyTypes,
}

impl Procfile {
    pub fn parse(bytes: &[u8]) -> Result<Self, ProcfileError> {
        if bytes.len() > MAX_BYTES {
            return Err(ProcfileError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProcfileError::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut procfile = Self::default();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let bad = || ProcfileError::BadLine {
                line,
                text: trimmed.chars().take(80).collect(),
            };
            if trimmed.contains('\0') {
                return Err(bad());
            }
            let (name, command) = trimmed.split_once(':').ok_or_else(bad)?;
            let process_type = ProcessType::parse(name).map_err(|_| bad())?;
            let command = command.trim();
            if command.is_empty() {
                return Err(ProcfileError::NoCommand {
                    line,
                    name: name.to_owned(),
                });
            }
            let previous = procfile.commands.insert(process_type, command.to_owned());
            if previous.is_some() {
                procfile.warnings.push(format!(
                    "Procfile declares {name} more than once; line {line} is used."
                ));
            }
            if procfile.commands.len() > MAX_TYPES {
                return Err(ProcfileError::TooManyTypes);
            }
        }
        Ok(procfile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> Vec<(String, String)> {
        Procfile::parse(text.as_bytes())
            .unwrap()
            .commands
            .into_iter()
            .map(|(name, command)| (name.to_string(), command))
            .collect()
    }

    #[test]
    fn real_procfiles_parse() {
        let text = "\u{feff}# comment\r\nweb: node web.js # inline stays\r\n\r\nexample-worker:true\nrelease: a: b\n";
        assert_eq!(
            commands(text),
            [
                ("example-worker".into(), "true".into()),
                ("release".into(), "a: b".into()),
                ("web".into(), "node web.js # inline stays".into()),
            ]
        );
    }

    #[test]
    fn the_last_of_two_wins_and_is_said() {
        let procfile = Procfile::parse(b"web: a\nweb: b\n").unwrap();
        assert_eq!(procfile.commands[&ProcessType::web()], "b");
        assert_eq!(procfile.warnings.len(), 1);
    }

    #[test]
    fn what_is_not_a_procfile_is_refused_with_its_line() {
        for (text, line) in [
            ("web: a\n<<<<<<< HEAD\n", 2),
            ("=======\n", 1),
            ("a b: x\n", 1),
            ("just words\n", 1),
            ("web: a\0b\n", 1),
        ] {
            match Procfile::parse(text.as_bytes()) {
                Err(ProcfileError::BadLine { line: found, .. }) => {
                    assert_eq!(found, line, "{text:?}")
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
        assert!(matches!(
            Procfile::parse(b"web:\n"),
            Err(ProcfileError::NoCommand { line: 1, .. })
        ));
        assert_eq!(Procfile::parse(b"web: \xff\n"), Err(ProcfileError::NotText));
        let at = format!("web: {}", "x".repeat(MAX_BYTES - 5));
        assert!(Procfile::parse(at.as_bytes()).is_ok());
        assert!(Procfile::parse(format!("{at}x").as_bytes()).is_err());
        let many: String = (0..=MAX_TYPES).map(|n| format!("t{n}: x\n")).collect();
        assert_eq!(
            Procfile::parse(many.as_bytes()),
            Err(ProcfileError::TooManyTypes)
        );
    }
}
