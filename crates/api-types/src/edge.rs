//! `/ropewalk/apps/:app/edge`: what an app asks of the router before a request reaches it. Not in Heroku's API.

use serde::{Deserialize, Serialize};

use crate::present::present;
use crate::reference::Named;
use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    pub app: Named,
    /// Requests wait instead of reaching a dyno.
    #[serde(default)]
    pub pause: bool,
    /// Requests over plain HTTP are sent to HTTPS.
    pub https_redirect: bool,
    /// Seconds for which browsers keep to HTTPS.
    pub hsts_max_age: Option<u64>,
    /// Addresses and ranges that alone reach the app; empty for everybody.
    pub trusted_ips: Vec<String>,
    /// Who comes in, by a password that is not told.
    pub basic_auth: Option<BasicAuthUser>,
    /// How many requests one client address may make.
    pub rate_limit: Option<RateLimit>,
    /// How large a request may be, without its head.
    pub max_body_bytes: Option<u64>,
    /// Another app whose dynos answer some of the requests.
    #[serde(default)]
    pub canary: Option<Named>,
    /// How many of the clients, in percent; at most two decimals.
    #[serde(default)]
    pub canary_weight_percent: Option<f64>,
    /// The cookie with which a client asks for the canary (`always`) or for the app itself (`never`).
    #[serde(default)]
    pub canary_cookie: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    pub requests: u32,
    /// In so many seconds: 1, 60 or 3600.
    pub seconds: u32,
    /// At once; in a request `None` is as many as `requests`.
    pub burst: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicAuthUser {
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicAuthUpdate {
    pub user: String,
    pub password: Secret,
}

/// `PATCH …/edge`: what is not named stays, `null` ends it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_redirect: Option<bool>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub hsts_max_age: Option<Option<u64>>,
    /// An empty list is `null`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub trusted_ips: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<Option<BasicAuthUpdate>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Option<RateLimit>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<Option<u64>>,
    /// By name or id. `null` ends what it answers, too.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub canary: Option<Option<String>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub canary_weight_percent: Option<Option<f64>>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub canary_cookie: Option<Option<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_told_from_nothing() {
        let read = |text| serde_json::from_str::<EdgeUpdate>(text).unwrap();
        assert_eq!(read("{}"), EdgeUpdate::default());
        let update = read(r#"{"hsts_max_age": null, "https_redirect": true}"#);
        assert_eq!(update.hsts_max_age, Some(None));
        let text = serde_json::to_string(&update).unwrap();
        assert_eq!(text, r#"{"https_redirect":true,"hsts_max_age":null}"#);
        assert_eq!(read(r#"{"hsts_max_age": 5}"#).hsts_max_age, Some(Some(5)));
    }
}
