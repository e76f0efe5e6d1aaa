//! What the app asks of the router, where it comes from another Ropewalk. Copied before the code, so that the copy is at
//! no time open to more people than the app is.

use http::Method;
use ropewalk_model::edge::Name;
use serde_json::{Map, Value, json};

use super::Import;
use super::origin::Origin;

/// As the API names them, and as people do. A pause is not copied: it is for the origin's own move.
const SETTINGS: [(&str, Name); 5] = [
    ("trusted_ips", Name::TrustedIps),
    ("https_redirect", Name::HttpsRedirect),
    ("hsts_max_age", Name::Hsts),
    ("rate_limit", Name::RateLimit),
    ("max_body_bytes", Name::MaxBody),
];

impl Import<'_> {
    pub(super) async fn edge(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        let Some(wanted) = self.report.read("edge settings", &origin.edge) else {
            return Ok(());
        };
        let path = ["ropewalk", "apps", self.name.as_str(), "edge"];
        let own: Map<String, Value> = match there && wanted.values().any(is_set) {
            true => self.client.read(&path).await?,
            false => Map::new(),
        };
        for (key, name) in SETTINGS {
            let Some(value) = wanted.get(key).filter(|value| is_set(value)) else {
                continue;
            };
            if own.get(key) == Some(value) {
                continue;
            }
            let change = json!({ key: value });
            let set = self.client.change(Method::PATCH, &path, &change);
            let what = format!("Setting {} of the edge", name.as_str());
            if let Err(error) = self.step(&what, set).await {
                self.report.left(
                    &format!("edge setting {}", name.as_str()),
                    &error.to_string(),
                );
            }
        }
        if let Some(canary) = wanted.get("canary").and_then(|app| app.get("name")) {
            let canary = canary.as_str().unwrap_or("APP");
            let why = format!(
                "it is another app; set it again with ropewalk edge:set canary={canary} canary-weight=PERCENT --app {}",
                self.name
            );
            self.report.left("edge setting canary", &why);
        }
        let user = |edge: &Map<String, Value>| edge.get("basic_auth").cloned().filter(is_set);
        if let Some(auth) = user(wanted)
            && user(&own).as_ref() != Some(&auth)
        {
            let user = auth.get("user").and_then(Value::as_str).unwrap_or("USER");
            let why = format!(
                "no API tells its password; set it again with ropewalk edge:set basic-auth={user} --app {}",
                self.name
            );
            self.report.left("edge setting basic-auth", &why);
        }
        Ok(())
    }
}

/// Neither `null` nor `false` nor an empty list.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}
