//! The app itself, its config vars and its maintenance mode.

use std::collections::BTreeMap;

use http::Method;
use ropewalk_client::types::app::{AppCreate, AppUpdate};
use serde_json::json;

use super::Import;
use super::origin::Origin;

/// What Heroku itself puts into dynos: true of the app there and not of its copy.
const OF_HEROKU: [&str; 10] = [
    "HEROKU_APP_DEFAULT_DOMAIN_NAME",
    "HEROKU_APP_ID",
    "HEROKU_APP_NAME",
    "HEROKU_BUILD_COMMIT",
    "HEROKU_BUILD_DESCRIPTION",
    "HEROKU_DYNO_ID",
    "HEROKU_RELEASE_CREATED_AT",
    "HEROKU_RELEASE_VERSION",
    "HEROKU_SLUG_COMMIT",
    "HEROKU_SLUG_DESCRIPTION",
];

impl Import<'_> {
    /// Makes the app unless it is there. Returns whether it was.
    pub(super) async fn create(&mut self, origin: &Origin) -> anyhow::Result<bool> {
        match self.client.app(&self.name).await {
            Ok(app) => {
                let app = self.cx.out.paint_err().app(&app.name);
                self.cx
                    .out
                    .note(&format!("{app} is there already; what differs is copied."))?;
                return Ok(true);
            }
            Err(error) if error.api().is_some_and(|answer| answer.status == 404) => {}
            Err(error) => return Err(error.into()),
        }
        let stack = &origin.app.stack.name;
        let known = self.client.stacks().await?;
        let known = known.iter().any(|one| one.name == *stack);
        if !known {
            self.report.note(format!(
                "The stack {stack} is not on this server; the app gets the server's own. What was compiled for {stack} may not run here: if it does not, push the code and let it be built."
            ));
        }
        let wanted = AppCreate {
            name: Some(self.name.clone()),
            stack: known.then(|| stack.clone()),
            ..AppCreate::default()
        };
        let what = format!("Creating {}", self.cx.out.paint_err().app(&self.name));
        self.step(&what, self.client.create_app(&wanted)).await?;
        Ok(false)
    }

    pub(super) async fn config_vars(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(vars) = self.report.read("config vars", &origin.config_vars) else {
            return Ok(());
        };
        let own: BTreeMap<String, String> = match there {
            true => {
                self.client
                    .read(&["apps", &self.name, "config-vars"])
                    .await?
            }
            false => BTreeMap::new(),
        };
        let mut missing = BTreeMap::new();
        for (name, value) in vars {
            if OF_HEROKU.contains(&name.as_str()) {
                self.report
                    .left(&format!("config var {name}"), "Heroku sets it by itself");
            } else if own.get(name) != Some(value) {
                missing.insert(name.clone(), value.clone());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let what = match missing.len() {
            1 => "Setting 1 config var".to_owned(),
            count => format!("Setting {count} config vars"),
        };
        let path = ["apps", self.name.as_str(), "config-vars"];
        let all = self.client.change(Method::PATCH, &path, &missing);
        match self.step(&what, all).await {
            Err(error) if error.api().is_some_and(|answer| answer.status == 422) => {}
            other => return Ok(other.map(drop)?),
        }
        // One of them is refused: the others are set one by one.
        for (name, value) in missing {
            let one = json!({ name.as_str(): value });
            if let Err(error) = self.client.change(Method::PATCH, &path, &one).await {
                self.report
                    .left(&format!("config var {name}"), &error.to_string());
            }
        }
        Ok(())
    }

    pub(super) async fn maintenance(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let wanted = origin.app.maintenance;
        let is = match there && !self.dry_run {
            true => self.client.app(&self.name).await?.maintenance,
            false => false,
        };
        if is == wanted {
            return Ok(());
        }
        let update = AppUpdate {
            maintenance: Some(wanted),
            ..AppUpdate::default()
        };
        let what = format!(
            "Turning maintenance mode {}",
            if wanted { "on" } else { "off" }
        );
        self.step(&what, self.client.update_app(&self.name, &update))
            .await?;
        Ok(())
    }
}
