//! Log drains: where an app's log is sent besides. Their addresses are sealed.

use jiff::Timestamp;
use ropewalk_model::drain::MAX_DRAINS;
use ropewalk_model::{AppId, DrainUrl};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, parse, time};
use crate::seal::Key;
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDrain {
    pub id: Uuid,
    pub app: AppId,
    /// `d.<uuid>`: who the lines say they are from.
    pub token: String,
    pub url: DrainUrl,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

fn context(id: Uuid) -> String {
    format!("log drain {id}")
}

fn drain(row: &Row<'_>, key: &Key) -> Result<LogDrain> {
    let id = parse(row, "id")?;
    let sealed: Vec<u8> = row.get("url")?;
    let plain = key.unseal(&context(id), &sealed)?;
    let url = std::str::from_utf8(&plain)
        .ok()
        .and_then(|text| DrainUrl::parse(text).ok())
        .ok_or_else(|| StoreError::Corrupt {
            what: "url",
            value: "of a log drain".to_owned(),
        })?;
    Ok(LogDrain {
        id,
        app: parse(row, "app_id")?,
        token: row.get("token")?,
        url,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    pub fn log_drains(&self, app: AppId) -> Result<Vec<LogDrain>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM log_drains WHERE app_id = ?1 ORDER BY created_at, id")?;
        all(&mut statement, [app.to_string()], |row| {
            drain(row, self.key)
        })
    }

    pub fn all_log_drains(&self) -> Result<Vec<LogDrain>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM log_drains ORDER BY id")?;
        all(&mut statement, [], |row| drain(row, self.key))
    }

    /// By id, token or address.
    pub fn find_log_drain(&self, app: AppId, key: &str) -> Result<LogDrain> {
        let url = DrainUrl::parse(key).ok();
        self.log_drains(app)?
            .into_iter()
            .find(|drain| {
                drain.token == key
                    || url.as_ref() == Some(&drain.url)
                    || drain.id.to_string().eq_ignore_ascii_case(key)
            })
            .ok_or(StoreError::NotFound("log_drain"))
    }
}

impl Tx<'_> {
    /// Refused when the app has it already, or [`MAX_DRAINS`] others.
    pub fn add_log_drain(
        &self,
        id: Uuid,
        app: AppId,
        token: &str,
        url: &DrainUrl,
        now: Timestamp,
    ) -> Result<LogDrain> {
        let others = self.log_drains(app)?;
        if let Some(same) = others.iter().find(|other| other.url == *url) {
            return Err(StoreError::Refused(format!(
                "The app already sends its log to this URL: drain {}.",
                same.token
            )));
        }
        if others.len() >= MAX_DRAINS {
            return Err(StoreError::Refused(format!(
                "An app has at most {MAX_DRAINS} log drains; remove one first."
            )));
        }
        let sealed = self.key.seal(&context(id), url.as_str().as_bytes())?;
        self.conn.execute(
            "INSERT INTO log_drains (id, app_id, token, url, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            params![id.to_string(), app.to_string(), token, sealed, time(now)],
        )?;
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM log_drains WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], |row| drain(row, self.key))?
            .ok_or(StoreError::NotFound("log_drain"))
    }

    pub fn remove_log_drain(&self, id: Uuid) -> Result<bool> {
        Ok(self
            .conn
            .execute("DELETE FROM log_drains WHERE id = ?1", [id.to_string()])?
            > 0)
    }
}
