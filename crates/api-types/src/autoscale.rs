//! `/ropewalk/apps/:app/formation/:type/autoscale` and what was decided by it. Not in Heroku's API.
//!
//! Unlike elsewhere unknown keys are refused: a misspelt `dry_run` would scale.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::present::present;
use crate::reference::Named;
use crate::secret::Secret;

/// What one process type is scaled by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoscaleRule {
    pub id: Uuid,
    pub app: Named,
    pub process_type: String,
    /// One that is not does nothing.
    pub is_active: bool,
    /// It only says what it would do.
    pub dry_run: bool,
    pub min: u32,
    pub max: u32,
    pub targets: Vec<AutoscaleTarget>,
    pub schedules: Vec<AutoscaleSchedule>,
    pub pace: AutoscalePace,
    /// Who is told of changes.
    pub webhook: Option<AutoscaleWebhook>,
    /// Least minutes between two notices.
    pub notice_period: u32,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// One goal. With several the one counts that asks for most dynos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoscaleTarget {
    /// `p95`, `concurrency`, `rps`, `queue`, `cpu`, `memory` or `metric:NAME`
    pub kind: String,
    /// Milliseconds, requests, requests a second, percent, or so much of the number for each dyno.
    #[serde(serialize_with = "short")]
    pub goal: f64,
    /// Where dynos answer with Prometheus text, in which the number is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Each dyno says the same there, so that one is asked; else what all say is added up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// What prints the number, in one of the dynos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Other bounds at some hours of some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoscaleSchedule {
    /// `mon`, `tue`, …
    pub days: Vec<String>,
    /// `09:00`
    pub from: String,
    /// `18:00`, at most `24:00`; not later than `from` is on the next day.
    pub to: String,
    /// Of the IANA's; `UTC` where nothing is said.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// As outside the hours where nothing is said, but never against `max`.
    #[serde(default)]
    pub min: Option<u32>,
    #[serde(default)]
    pub max: Option<u32>,
}

/// Seconds and dynos; `null` is what is usual for the targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoscalePace {
    /// Between a change and the next step up.
    pub up_rest: Option<u32>,
    /// For so long fewer dynos must have done before any goes.
    pub down_after: Option<u32>,
    /// Between a change and the next step down.
    pub down_rest: Option<u32>,
    /// Most dynos of a step.
    pub most_up: Option<u32>,
    pub most_down: Option<u32>,
    /// A load that needs twice the dynos that are ready is met without rest and limit.
    pub panic: bool,
}

impl Default for AutoscalePace {
    fn default() -> Self {
        Self {
            up_rest: None,
            down_after: None,
            down_rest: None,
            most_up: None,
            most_down: None,
            panic: true,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscaleWebhook {
    /// Of its address, the rest of which is not told.
    pub host: String,
    /// Told once, where the server made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// `PUT`: takes the place of the rule before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoscaleUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    pub dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    pub targets: Vec<AutoscaleTarget>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<AutoscaleSchedule>,
    pub pace: AutoscalePace,
    /// The one part that stays where nothing is said, since it is not shown whole. `null` ends it.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Option<AutoscaleWebhookUpdate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice_period: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoscaleWebhookUpdate {
    pub url: Secret,
    /// By which notices are signed; the server makes one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscaleEvent {
    /// Grows.
    pub id: u64,
    pub process_type: String,
    #[serde(with = "crate::time")]
    pub at: Timestamp,
    pub from: u32,
    pub to: u32,
    /// Advice of a dry run is not.
    pub applied: bool,
    /// The load needed at least twice the dynos that were ready.
    pub panic: bool,
    /// Part of a sentence: `p95 812 ms over 500 ms`.
    pub reason: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Whole numbers without a point.
fn short<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => to.serialize_i64(*number as i64),
        false => to.serialize_f64(*number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_told_from_what_ends_and_what_is_misspelt() {
        let read = |text: &str| serde_json::from_str::<AutoscaleUpdate>(text);
        let few = read(r#"{"min":1,"max":5,"targets":[{"kind":"p95","goal":500}]}"#).unwrap();
        assert_eq!((few.webhook.as_ref(), few.pace.panic), (None, true));
        let text = serde_json::to_string(&few).unwrap();
        assert!(text.contains(r#"{"kind":"p95","goal":500}"#), "{text}");
        assert!(!text.contains("webhook"), "{text}");
        assert_eq!(read(&text).unwrap(), few);
        assert_eq!(read(r#"{"webhook":null}"#).unwrap().webhook, Some(None));
        for text in [
            r#"{"dry_rum":true}"#,
            r#"{"pace":{"up":1}}"#,
            r#"{"targets":[{"kind":"p95","goal":5,"of":1}]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
