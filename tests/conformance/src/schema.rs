//! The published schema of the Platform API: links, and the shapes of answers.
//!
//! `data/` holds its constraints and links without any text, and without the few constraints that only Heroku's own
//! hosts and data centres can meet (and one that takes a host name for a URI). Places of a path are written
//! `{resource}`, or `{resource.attribute}` where the id is another attribute.

use anyhow::{Context, Result};
use jsonschema::Draft;
use serde_json::{Value, json};

/// The data as it stands.
pub const SCHEMA: &str = include_str!("../data/platform-api.schema.json");

/// The schema, read.
#[derive(Debug)]
pub struct Published {
    root: Value,
    links: Vec<Link>,
}

/// One verb of one resource.
#[derive(Debug, Clone)]
pub struct Link {
    pub resource: String,
    pub method: String,
    pub href: String,
    /// Of the request's body, if it has one.
    pub body: Option<Value>,
    /// Of the answer.
    pub target: Value,
}

impl Published {
    pub fn read() -> Result<Self> {
        let root: Value = serde_json::from_str(SCHEMA)?;
        let definitions = root["definitions"]
            .as_object()
            .context("the schema has definitions")?;
        let mut links = Vec::new();
        for (resource, definition) in definitions {
            for link in definition["links"].as_array().into_iter().flatten() {
                let text = |key: &str| link[key].as_str().unwrap_or_default().to_owned();
                links.push(Link {
                    resource: resource.clone(),
                    method: text("method"),
                    href: text("href"),
                    body: link.get("schema").cloned(),
                    target: link["targetSchema"].clone(),
                });
            }
        }
        Ok(Self { root, links })
    }

    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The link of that verb and path.
    pub fn link(&self, method: &str, href: &str) -> Option<&Link> {
        self.links
            .iter()
            .find(|link| link.method == method && link.href == href)
    }

    /// What of `answer` does not fit `schema`: the constraints, and that every key of a resource is spelled.
    pub fn misfits(&self, schema: &Value, answer: &Value) -> Result<Vec<String>> {
        let mut document = self.root.clone();
        document["allOf"] = json!([schema]);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .build(&document)
            .map_err(|error| anyhow::anyhow!("the schema itself is broken: {error}"))?;
        let mut misfits: Vec<String> = validator
            .iter_errors(answer)
            .map(|error| {
                // The value is left out: it may be a secret.
                format!("{} breaks {}", error.instance_path(), error.schema_path())
            })
            .collect();
        let items = match (answer, schema.get("items")) {
            (Value::Array(items), Some(schema)) => (items.as_slice(), schema),
            _ => (std::slice::from_ref(answer), schema),
        };
        self.missing_keys(items, &mut misfits);
        Ok(misfits)
    }

    fn missing_keys(&self, (items, schema): (&[Value], &Value), misfits: &mut Vec<String>) {
        let keys = schema["$ref"]
            .as_str()
            .and_then(|reference| self.root.pointer(reference.strip_prefix('#')?))
            .and_then(|definition| definition["properties"].as_object());
        for item in items {
            for key in keys.into_iter().flatten().map(|(key, _)| key) {
                if item.get(key).is_none() {
                    misfits.push(format!("{key} is not there"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_has_a_shape_and_a_wrong_answer_is_seen() {
        let published = Published::read().unwrap();
        assert_eq!(published.links().len(), 305);
        for link in published.links() {
            assert!(link.target.is_object(), "{link:?}");
        }
        let link = published.link("GET", "/account/rate-limits").unwrap();
        let misfits = |answer: Value| published.misfits(&link.target, &answer).unwrap();
        assert_eq!(misfits(json!({"remaining": 1})), Vec::<String>::new());
        assert_eq!(misfits(json!({"remaining": "1"})).len(), 1);
        assert_eq!(misfits(json!({})), ["remaining is not there"]);
    }
}
