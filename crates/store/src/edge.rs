//! Edge policies: what apps ask of the router before a request reaches them. Kept by setting, sealed; canaries in a table
//! of their own, so that they end with the app that answers.

use std::collections::HashMap;

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::edge::{CookieName, Name, Policy, Weight};
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

/// The app, and its canary in a policy that asks for nothing else.
fn canary(row: &Row<'_>) -> Result<(AppId, Policy)> {
    let corrupt = |value: String| StoreError::Corrupt {
        what: "canary",
        value,
    };
    let weight: Option<u16> = row.get("weight")?;
    let weight = weight.map(|parts| {
        Weight::from_percent(f64::from(parts) / 100.0).map_err(|_| corrupt(parts.to_string()))
    });
    let cookie: Option<String> = row.get("cookie")?;
    let cookie = cookie.map(|name| name.parse().map_err(|_| corrupt(name)));
    let policy = Policy {
        canary: Some(parse(row, "canary_app_id")?),
        canary_weight: weight.transpose()?,
        canary_cookie: cookie.transpose()?,
        ..Policy::default()
    };
    Ok((parse(row, "app_id")?, policy))
}

/// Takes the canary of `of`.
fn take_canary(policy: &mut Policy, of: Policy) {
    policy.canary = of.canary;
    policy.canary_weight = of.canary_weight;
    policy.canary_cookie = of.canary_cookie;
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
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM canaries WHERE app_id = ?1")?;
        for (_, with) in all(&mut statement, [app.to_string()], canary)? {
            take_canary(&mut policy, with);
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
        let mut statement = self.conn.prepare_cached("SELECT * FROM canaries")?;
        for (app, with) in all(&mut statement, [], canary)? {
            take_canary(policies.entry(app).or_default(), with);
        }
        Ok(policies)
    }

    /// Apps whose canary this one is.
    pub fn canary_of(&self, app: AppId) -> Result<Vec<AppId>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT app_id FROM canaries WHERE canary_app_id = ?1")?;
        all(&mut statement, [app.to_string()], |row| {
            parse(row, "app_id")
        })
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
            if matches!(name, Name::Canary | Name::CanaryWeight | Name::CanaryCookie) {
                continue;
            }
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
        self.set_canary(app, policy, now)?;
        Ok(changed)
    }

    fn set_canary(&self, app: AppId, policy: &Policy, now: Timestamp) -> Result<()> {
        let Some(canary) = policy.canary else {
            let key = [app.to_string()];
            self.conn
                .execute("DELETE FROM canaries WHERE app_id = ?1", key)?;
            return Ok(());
        };
        self.conn.execute(
            "INSERT INTO canaries (app_id, canary_app_id, weight, cookie, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (app_id) DO UPDATE SET canary_app_id = ?2, weight = ?3, cookie = ?4, updated_at = ?5",
            params![
                app.to_string(),
                canary.to_string(),
                policy.canary_weight.map(Weight::parts),
                policy.canary_cookie.as_ref().map(CookieName::as_str),
                time(now)
            ],
        )?;
        Ok(())
    }
}
