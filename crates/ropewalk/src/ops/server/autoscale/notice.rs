//! Tells a webhook what was decided: signed, and only where the operator lets users' addresses lead.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use jiff::Timestamp;
use ropewalk_model::scaling::Webhook;
use ropewalk_model::{AppId, AppName};
use ropewalk_store::AutoscaleEvent;
use serde_json::json;
use uuid::Uuid;

use super::super::egress::Egress;

/// The header with the signature: HMAC-SHA-256 of the body under the webhook's secret, in base64.
const SIGNATURE: &str = "Ropewalk-Webhook-Hmac-SHA256";

/// What is told to whom.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) rule: Uuid,
    pub(super) app: AppId,
    pub(super) app_name: AppName,
    pub(super) process_type: String,
    pub(super) webhook: Webhook,
    /// Oldest first, at least one.
    pub(super) events: Vec<AutoscaleEvent>,
}

/// How telling ended.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) rule: Uuid,
    pub(super) app: AppId,
    pub(super) process_type: String,
    /// The newest event that was taken, or why none was, as a clause.
    pub(super) outcome: Result<i64, String>,
}

impl Notice {
    pub(super) async fn tell(self, egress: Arc<Egress>) -> Told {
        let body = self.body(Timestamp::now());
        let signature = sign(self.webhook.secret(), &body);
        let url = self.webhook.url().as_str();
        let sent = egress.post(url, (SIGNATURE, &signature), body).await;
        let newest = self.events.last().map_or(0, |event| event.id);
        let outcome = match sent {
            Ok(200..=299) => Ok(newest),
            Ok(status) => Err(format!("status {status}")),
            Err(error) => Err(error.to_string()),
        };
        Told {
            rule: self.rule,
            app: self.app,
            process_type: self.process_type,
            outcome,
        }
    }

    fn body(&self, now: Timestamp) -> Vec<u8> {
        let events: Vec<_> = self
            .events
            .iter()
            .map(|event| {
                json!({
                    "id": event.id,
                    "at": event.at.to_string(),
                    "from": event.from,
                    "to": event.to,
                    "applied": event.applied,
                    "panic": event.panic,
                    "reason": event.reason,
                })
            })
            .collect();
        json!({
            "app": {"id": self.app.to_string(), "name": self.app_name.as_str()},
            "process_type": self.process_type,
            "sent_at": now.to_string(),
            "events": events,
        })
        .to_string()
        .into_bytes()
    }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_others_compute() {
        // RFC 4231, test case 2.
        let signature = sign("Jefe", b"what do ya want for nothing?");
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(signature)
            .unwrap();
        assert_eq!(
            hex::encode(bytes),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
