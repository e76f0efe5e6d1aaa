//! Edge policies: what apps ask of the router before a request reaches them. Kept by setting, sealed.

use std::collections::HashMap;

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::edge::{Name, Policy};
use rusqlite::{Row, params};

use crate::row::{all, parse, time};
use crate::seal::Key;
use crate::{Result, StoreError, Tx, View};

fn context(app: AppId, name: Name) -> String {
    format!("edge setting {app} {}", name.as_str())
}

/// The app, the setting and its text.
fn setting(row: &Row<'_>, key: &Key) -> Result<(AppId, Name, String)> {
    let app = parse(row, "app_id")?;
    let name: String = row.get("name")?;
    let name = Name::parse(&name).map_err(|_| StoreError::Corrupt {
        what: "edge setting",
        value: name,
    })?;
    let sealed: Vec<u8> = row.get("value")?;
    let plain = key.unseal(&context(app, name), &sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| corrupt(name))?;
    Ok((app, name, text.to_owned()))
}

/// Without the value, which may be a secret.
fn corrupt(name: Name) -> StoreError {
    StoreError::Corrupt {
        what: "edge setting",
        value: name.as_str().to_owned(),
    }
}

impl View<'_> {
    /// What an app asks for.
    pub fn edge_policy(&self, app: AppId) -> Result<Policy> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM edge_settings WHERE app_id = ?1")?;
        let settings = all(&mut statement, [app.to_string()], |row| {
            setting(row, self.key)
        })?;
        let mut policy = Policy::default();
        for (_, name, text) in settings {
            policy.restore(name, &text).map_err(|_| corrupt(name))?;
        }
        Ok(policy)
    }

    /// Of all apps that ask for anything.
    pub fn edge_policies(&self) -> Result<HashMap<AppId, Policy>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM edge_settings")?;
        let settings = all(&mut statement, [], |row| setting(row, self.key))?;
        let mut policies: HashMap<AppId, Policy> = HashMap::new();
        for (app, name, text) in settings {
            policies
                .entry(app)
                .or_default()
                .restore(name, &text)
                .map_err(|_| corrupt(name))?;
        }
        Ok(policies)
    }
}

impl Tx<'_> {
    /// Takes the place of what the app asked for before. Gives what changed.
    pub fn set_edge_policy(
        &self,
        app: AppId,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Vec<Name>> {
        let before = self.edge_policy(app)?;
        let mut changed = Vec::new();
        for name in Name::ALL {
            let text = policy.kept(name);
            if text == before.kept(name) {
                continue;
            }
            changed.push(name);
            let key = [app.to_string(), name.as_str().to_owned()];
            match text {
                None => self.conn.execute(
                    "DELETE FROM edge_settings WHERE app_id = ?1 AND name = ?2",
                    key,
                )?,
                Some(text) => {
                    let sealed = self.key.seal(&context(app, name), text.as_bytes())?;
                    let [app, name] = key;
                    self.conn.execute(
                        "INSERT INTO edge_settings (app_id, name, value, updated_at) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (app_id, name) DO UPDATE SET value = ?3, updated_at = ?4",
                        params![app, name, sealed, time(now)],
                    )?
                }
            };
        }
        Ok(changed)
    }
}
