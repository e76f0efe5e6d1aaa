//! `/apps/:app/formation`: how many dynos of which size each process type should have.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One process type. A `release:` line of the Procfile is the type `release` with quantity 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    pub id: Uuid,
    pub app: Named,
    /// `web`
    #[serde(rename = "type")]
    pub process_type: String,
    pub command: String,
    pub quantity: u32,
    /// `Standard-1X`
    pub size: String,
    pub dyno_size: Named,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// `PATCH /apps/:app/formation`: all of it happens or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationBatchUpdate {
    pub updates: Vec<FormationUpdate>,
}

/// One process type of a batch; also `PATCH /apps/:app/formation/:type`, then without `type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationUpdate {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// In whatever case the user typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The published schema's way to say the size; clients in the wild send `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dyno_size: Option<DynoSizeRef>,
    /// `Some(None)` (`null`) takes the image away.
    #[serde(
        default,
        deserialize_with = "crate::present::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub docker_image: Option<Option<String>>,
}

/// A dyno size by id, by name, or by both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DynoSizeRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `2`, `"2"`, `"+1"` or `"-1"`: the schema has a number, clients in the wild send a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    Number(i64),
    Text(String),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_reads_what_clients_send() {
        let text = r#"{"updates":[{"type":"web","quantity":"2","size":"standard-1x"},{"type":"worker","quantity":"+1"},
            {"type":"clock","quantity":3,"dyno_size":{"name":"Standard-2X"}},{"type":"api","docker_image":null}]}"#;
        let batch: FormationBatchUpdate = serde_json::from_str(text).unwrap();
        assert_eq!(batch.updates[0].quantity, Some(Quantity::Text("2".into())));
        assert_eq!(batch.updates[1].quantity, Some(Quantity::Text("+1".into())));
        assert_eq!(batch.updates[2].quantity, Some(Quantity::Number(3)));
        assert_eq!(batch.updates[2].docker_image, None);
        assert_eq!(batch.updates[3].docker_image, Some(None));
    }
}
