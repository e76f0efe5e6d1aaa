//! Columns to typed values and back; a value that does not parse names its column.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::Row;

use crate::{Result, StoreError};

/// Parses a text column.
pub(crate) fn parse<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| StoreError::Corrupt {
        what: column,
        value: text,
    })
}

/// Parses a text column that may be null.
pub(crate) fn parse_opt<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| {
        text.parse().map_err(|_| StoreError::Corrupt {
            what: column,
            value: text,
        })
    })
    .transpose()
}

/// Parses a text column by a function.
pub(crate) fn parse_with<T>(
    row: &Row<'_>,
    column: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T> {
    let text: String = row.get(column)?;
    read(&text).ok_or(StoreError::Corrupt {
        what: column,
        value: text,
    })
}

/// Parses a JSON column.
pub(crate) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &'static str,
) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::Corrupt {
        what: column,
        value: text,
    })
}

/// JSON text of a value that always has one (maps and lists of strings).
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt {
        what: "json",
        value: error.to_string(),
    })
}

/// Microseconds are enough, and sort as text.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Collects rows that may fail to parse.
pub(crate) fn all<T>(
    statement: &mut rusqlite::Statement<'_>,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut rows = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// The first row, if there is one.
pub(crate) fn first<T>(
    statement: &mut rusqlite::Statement<'_>,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Whether an insert failed because of a UNIQUE constraint.
pub(crate) fn is_taken(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error(),
        Some(code) if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
    )
}
