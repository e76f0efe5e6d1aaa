//! `~/.config/ropewalk/config.toml`: which server the last login went to.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Address of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// PEM file of certificates to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
}

impl Settings {
    /// Reads the file below `config_home`; a missing one says nothing.
    pub(crate) fn read(config_home: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = config_home.map(file) else {
            return Ok(Self::default());
        };
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .with_context(|| format!("{} is not understood", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                Err(error).with_context(|| format!("{} could not be read", path.display()))
            }
        }
    }

    /// Replaces the file below `config_home`.
    pub(crate) fn write(&self, config_home: &Path) -> anyhow::Result<()> {
        let path = file(config_home);
        let text = toml::to_string(self)?;
        let write = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(config_home);
            fs::create_dir_all(folder)?;
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            new.write_all(text.as_bytes())?;
            new.persist(&path)?;
            Ok(())
        };
        write().with_context(|| format!("{} could not be written", path.display()))
    }
}

fn file(config_home: &Path) -> PathBuf {
    config_home.join("ropewalk").join("config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_round() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(
            Settings::read(Some(home.path())).unwrap(),
            Settings::default()
        );
        let settings = Settings {
            url: Some("http://api.localhost:8080".into()),
            ca: None,
        };
        settings.write(home.path()).unwrap();
        assert_eq!(Settings::read(Some(home.path())).unwrap(), settings);
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("ropewalk")).unwrap();
        fs::write(file(home.path()), "uri = 1").unwrap();
        let error = Settings::read(Some(home.path())).unwrap_err();
        assert!(
            error.to_string().ends_with("config.toml is not understood"),
            "{error}"
        );
    }
}
