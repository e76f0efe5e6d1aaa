//! How apps' dynos start and stop, where they ask for something else than the platform's habits. Kept by setting.

use std::collections::HashMap;

use jiff::Timestamp;
use ropewalk_model::dyno_setting::Name;
use ropewalk_model::{AppDynoSettings, AppId, ProcessType};
use rusqlite::{Row, params};

use crate::row::{all, parse, time};
use crate::{Result, StoreError, Tx, View};

/// The app, the process type (`None` for all), the setting and its text.
fn setting(row: &Row<'_>) -> Result<(AppId, Option<ProcessType>, Name, String)> {
    let corrupt = |value: &str| StoreError::Corrupt {
        what: "dyno setting",
        value: value.to_owned(),
    };
    let process_type: String = row.get("process_type")?;
    let process_type = match process_type.as_str() {
        "" => None,
        name => Some(ProcessType::parse(name).map_err(|_| corrupt(name))?),
    };
    let name: String = row.get("name")?;
    let name = Name::parse(&name).map_err(|_| corrupt(&name))?;
    Ok((parse(row, "app_id")?, process_type, name, row.get("value")?))
}

fn take(
    settings: &mut AppDynoSettings,
    process_type: Option<&ProcessType>,
    name: Name,
    text: &str,
) -> Result<()> {
    let set = settings.part(process_type).set(name, text);
    set.map_err(|_| StoreError::Corrupt {
        what: "dyno setting",
        value: text.to_owned(),
    })
}

impl View<'_> {
    /// What an app asks for.
    pub fn dyno_settings(&self, app: AppId) -> Result<AppDynoSettings> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM dyno_settings WHERE app_id = ?1")?;
        let mut settings = AppDynoSettings::default();
        for (_, process_type, name, text) in all(&mut statement, [app.to_string()], setting)? {
            take(&mut settings, process_type.as_ref(), name, &text)?;
        }
        Ok(settings)
    }

    /// Of all apps that ask for anything.
    pub fn all_dyno_settings(&self) -> Result<HashMap<AppId, AppDynoSettings>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM dyno_settings")?;
        let mut settings: HashMap<AppId, AppDynoSettings> = HashMap::new();
        for (app, process_type, name, text) in all(&mut statement, [], setting)? {
            let of_app = settings.entry(app).or_default();
            take(of_app, process_type.as_ref(), name, &text)?;
        }
        Ok(settings)
    }
}

impl Tx<'_> {
    /// Sets one setting of a process type, or of all; `None` ends it. Tells whether that changed anything.
    pub fn set_dyno_setting(
        &self,
        app: AppId,
        process_type: Option<&ProcessType>,
        name: Name,
        text: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let (app, of) = (
            app.to_string(),
            process_type.map_or("", ProcessType::as_str),
        );
        let changed = match text {
            None => self.conn.execute(
                "DELETE FROM dyno_settings WHERE app_id = ?1 AND process_type = ?2 AND name = ?3",
                params![app, of, name.as_str()],
            )?,
            Some(text) => self.conn.execute(
                "INSERT INTO dyno_settings (app_id, process_type, name, value, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
                 WHERE value IS NOT excluded.value",
                params![app, of, name.as_str(), text, time(now)],
            )?,
        };
        Ok(changed > 0)
    }
}
