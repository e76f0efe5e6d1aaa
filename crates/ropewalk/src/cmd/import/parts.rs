//! What surrounds the code: formation, domains, features, drains; and what no API can copy.

use std::collections::BTreeMap;

use http::Method;
use ropewalk_client::types::domain::DomainCreate;
use ropewalk_client::types::formation::{FormationUpdate, Quantity};
use ropewalk_client::types::log_drain::LogDrainCreate;
use serde::Deserialize;
use serde_json::json;

use super::Import;
use super::origin::Origin;

#[derive(Deserialize)]
struct Size {
    name: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    enabled: bool,
}

#[derive(Deserialize)]
struct Url {
    url: String,
}

impl Import<'_> {
    pub(super) async fn formation(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(wanted) = self.report.read("formation", &origin.formation) else {
            return Ok(());
        };
        if self.dry_run && !there {
            for one in wanted {
                self.cx.out.note(&format!(
                    "Would: Scaling {} to {}",
                    one.process_type, one.quantity
                ))?;
            }
            return Ok(());
        }
        let sizes: Vec<Size> = self
            .client
            .read_list(&["apps", &self.name, "available-dyno-sizes"])
            .await?;
        let own = self.client.formation(&self.name).await?;
        let own: BTreeMap<&str, _> = own
            .iter()
            .map(|one| (one.process_type.as_str(), one))
            .collect();
        for one in wanted {
            let name = &one.process_type;
            let Some(is) = own.get(name.as_str()) else {
                self.report.left(
                    &format!("dynos of type {name}"),
                    "the app has no code of that type here yet",
                );
                continue;
            };
            let size = sizes
                .iter()
                .find(|size| size.name.eq_ignore_ascii_case(&one.size));
            if size.is_none() {
                self.report.note(format!(
                    "Dynos of type {name} were {}, a size that is not here; they are {}.",
                    one.size, is.size
                ));
            }
            let size = size.map_or(is.size.as_str(), |size| size.name.as_str());
            if is.quantity == one.quantity && is.size.eq_ignore_ascii_case(size) {
                continue;
            }
            let update = FormationUpdate {
                process_type: Some(name.clone()),
                quantity: Some(Quantity::Number(one.quantity.into())),
                size: Some(size.to_owned()),
                ..FormationUpdate::default()
            };
            let what = format!("Scaling {name} to {}:{size}", one.quantity);
            let scaled = self.client.update_formation(&self.name, vec![update]);
            if let Err(error) = self.step(&what, scaled).await {
                self.report
                    .left(&format!("formation of {name}"), &error.to_string());
            }
        }
        Ok(())
    }

    pub(super) async fn domains(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(wanted) = self.report.read("domains", &origin.domains) else {
            return Ok(());
        };
        let own: Vec<String> = match there {
            true => {
                let own = self.client.domains(&self.name).await?;
                own.into_iter().map(|domain| domain.hostname).collect()
            }
            false => Vec::new(),
        };
        let custom = wanted.iter().filter(|domain| domain.kind == "custom");
        let mut added = 0;
        for domain in custom.filter(|domain| !own.contains(&domain.hostname)) {
            let create = DomainCreate {
                hostname: domain.hostname.clone(),
                sni_endpoint: None,
            };
            let what = format!("Adding domain {}", domain.hostname);
            match self
                .step(&what, self.client.add_domain(&self.name, &create))
                .await
            {
                Ok(_) => added += 1,
                Err(error) => self
                    .report
                    .left(&format!("domain {}", domain.hostname), &error.to_string()),
            }
        }
        if added > 0 {
            self.report.note(
                "The domains lead to the old place until their DNS records name this server: see ropewalk domains.",
            );
        }
        Ok(())
    }

    pub(super) async fn features(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(wanted) = self.report.read("features", &origin.features) else {
            return Ok(());
        };
        let own: Vec<Named> = match there {
            true => {
                self.client
                    .read_list(&["apps", &self.name, "features"])
                    .await?
            }
            false => Vec::new(),
        };
        for feature in wanted.iter().filter(|feature| feature.enabled) {
            let on = own
                .iter()
                .any(|own| own.name == feature.name && own.enabled);
            if on {
                continue;
            }
            let path = [
                "apps",
                self.name.as_str(),
                "features",
                feature.name.as_str(),
            ];
            let change = json!({"enabled": true});
            let what = format!("Enabling feature {}", feature.name);
            let enabled = self.client.change(Method::PATCH, &path, &change);
            if let Err(error) = self.step(&what, enabled).await {
                let why = match error.api() {
                    Some(answer) if answer.status == 404 => {
                        "this server has no such feature".to_owned()
                    }
                    _ => error.to_string(),
                };
                self.report.left(&format!("feature {}", feature.name), &why);
            }
        }
        Ok(())
    }

    pub(super) async fn drains(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(wanted) = self.report.read("log drains", &origin.drains) else {
            return Ok(());
        };
        let own: Vec<Url> = match there {
            true => {
                self.client
                    .read_list(&["apps", &self.name, "log-drains"])
                    .await?
            }
            false => Vec::new(),
        };
        // An add-on's drain goes with the add-on.
        let people = wanted.iter().filter(|drain| drain.addon.is_none());
        for (number, drain) in people.enumerate() {
            if own.iter().any(|own| own.url == drain.url) {
                continue;
            }
            let create = LogDrainCreate {
                url: drain.url.clone(),
            };
            // Drains' addresses carry tokens: they are not shown.
            let what = format!("log drain {}", number + 1);
            let path = ["apps", self.name.as_str(), "log-drains"];
            let added = self.client.change(Method::POST, &path, &create);
            if let Err(error) = self.step(&format!("Adding {what}"), added).await {
                let why = match error.api() {
                    Some(answer) if answer.status == 404 => {
                        "this server has no log drains".to_owned()
                    }
                    _ => error.to_string(),
                };
                self.report.left(&what, &why);
            }
        }
        Ok(())
    }

    /// What stays where it is, whatever the server here can do.
    pub(super) fn never(&mut self, origin: &Origin) {
        match &origin.addons {
            Ok(addons) => {
                for addon in addons {
                    let vars = addon.config_vars.join(", ");
                    let why = match vars.is_empty() {
                        true => "it stays where it is".to_owned(),
                        false => format!(
                            "it stays where it is; the copied values of {vars} lead to it there"
                        ),
                    };
                    self.report.left(&format!("add-on {}", addon.name), &why);
                }
            }
            Err(why) => self.report.left("add-ons", why),
        }
        for one in origin.collaborators.iter().flatten() {
            if one.role.as_deref() != Some("owner") {
                self.report.left(
                    &format!("access of {}", one.user.email),
                    "accounts are each server's own",
                );
            }
        }
        for certificate in origin.certificates.iter().flatten() {
            self.report.left(
                &format!("certificate {}", certificate.name),
                "the API does not give its key away",
            );
        }
    }
}
