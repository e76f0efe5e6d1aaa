//! Waiting for a release to end, one way or another.

use std::time::Duration;

use ropewalk_model::AppId;
use ropewalk_model::release::ReleaseStatus;

use crate::reconcile::Scheduler;

/// How a release ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It serves.
    Succeeded,
    /// `reason` is for the user; `process` is the dyno whose log tells more, as `web.1`.
    Failed {
        reason: String,
        process: Option<String>,
    },
    /// A newer release took its place before it could take effect.
    Superseded { by: u32 },
    /// The app is gone.
    Gone,
}

/// For the router to take a table that it was sent.
const ROUTER_ACK: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Waits until a release is concluded and, when it succeeded, until the router sends requests to it. No
    /// deadline: the release command and the boot timeout bound it.
    pub async fn concluded(&self, app: AppId, version: u32) -> Outcome {
        let mut passes = self.shared.passes();
        loop {
            let seen = self
                .shared
                .store
                .read(move |view| Ok((view.app(app)?, view.release(app, version)?)))
                .await;
            match seen {
                Err(ropewalk_store::StoreError::NotFound(_)) => return Outcome::Gone,
                Err(error) => tracing::warn!(%app, version, %error, "A release could not be read."),
                Ok((owner, release)) => match release.status {
                    ReleaseStatus::Pending => {}
                    ReleaseStatus::Succeeded => {
                        self.routed().await;
                        return Outcome::Succeeded;
                    }
                    ReleaseStatus::Failed => {
                        let reason = release.failure.unwrap_or_default();
                        return Outcome::Failed {
                            process: process_of(&reason, version),
                            reason,
                        };
                    }
                    ReleaseStatus::Expired => {
                        let by = owner.candidate_version.unwrap_or(owner.current_version);
                        return Outcome::Superseded { by };
                    }
                },
            }
            if passes.changed().await.is_err() {
                return Outcome::Gone;
            }
        }
    }

    /// Two passes from now the table names the new dynos; then the router has to say that it has it.
    async fn routed(&self) {
        let mut passes = self.shared.passes();
        for _ in 0..2 {
            self.changed();
            if passes.changed().await.is_err() {
                return;
            }
        }
        let routes = &self.shared.routes;
        let mut changes = routes.changes();
        let acked = async {
            while !routes.is_acked() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Without a router there is nobody to wait for; it takes the table when it comes.
        let _ = tokio::time::timeout(ROUTER_ACK, acked).await;
    }
}

/// `web.1 crashed: …` and `release command failed: …` begin with who it was.
fn process_of(reason: &str, version: u32) -> Option<String> {
    if reason.starts_with("release command") {
        return Some(format!("release.{version}"));
    }
    reason
        .split_once(" crashed")
        .map(|(process, _)| process.to_owned())
}
