//! What can fail in the ledger.

use std::path::PathBuf;

use ropewalk_model::config_var::ConfigVarError;
use ropewalk_model::formation::FormationError;
use ropewalk_model::size::SizeError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("ledger {path}: {source}")]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// `PRAGMA quick_check` found damage; nothing is written to such a file.
    #[error("ledger {path} is damaged: {detail}")]
    Damaged { path: PathBuf, detail: String },
    #[error("ledger {path} is of schema {found}, newer than the {known} this version knows")]
    TooNew {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("key file {path}: {source}")]
    KeyFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("key file {path} is not 32 bytes of hexadecimal")]
    KeyFormat { path: PathBuf },
    #[error("config vars cannot be unsealed: the key file is not the one they were sealed with")]
    Unseal,
    #[error("ledger: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("ledger: {what} holds {value:?}, which is not valid")]
    Corrupt { what: &'static str, value: String },
    #[error("ledger: the writer has stopped")]
    Closed,
    #[error("no such {0}")]
    NotFound(&'static str),
    #[error("{what} {name} is already taken")]
    Taken { what: &'static str, name: String },
    #[error(transparent)]
    ConfigVar(#[from] ConfigVarError),
    #[error(transparent)]
    Formation(#[from] FormationError),
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A rule of releases forbids it; the text is for the user.
    #[error("{0}")]
    Refused(String),
}
