//! Following a release to its end, one way or another.

use std::time::Duration;

use ropewalk_model::release::ReleaseStatus;
use ropewalk_model::{AppId, DynoState};
use ropewalk_store::{App, Dyno, Release, StoreError};
use tokio::sync::mpsc;

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

/// What a release is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Its release command runs.
    Command,
    /// Its dynos start.
    Boot,
    /// Requests move over to them.
    Route,
    /// The last one.
    Done(Outcome),
}

/// For the router to take a table that it was sent.
const ROUTER_ACK: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Tells what a release is at, until it is concluded and, when it succeeded, the router sends requests to it.
    /// No deadline: the release command's and the boot's bound it.
    pub fn follow(&self, app: AppId, version: u32) -> mpsc::Receiver<Progress> {
        let (sender, receiver) = mpsc::channel(8);
        let this = self.clone();
        self.shared.spawn(async move {
            let told = Told { sender, last: None };
            tokio::select! {
                () = this.tell(app, version, told.clone()) => {}
                () = told.sender.closed() => {}
            }
        });
        receiver
    }

    async fn tell(&self, app: AppId, version: u32, mut told: Told) {
        let mut passes = self.shared.passes();
        loop {
            let seen = self
                .shared
                .store
                .read(move |view| {
                    Ok((
                        view.app(app)?,
                        view.release(app, version)?,
                        view.dynos(app)?,
                    ))
                })
                .await;
            match seen {
                Err(StoreError::NotFound(_)) => {
                    return told.tell(Progress::Done(Outcome::Gone)).await;
                }
                Err(error) => tracing::warn!(%app, version, %error, "A release could not be read."),
                Ok((owner, release, dynos)) => match outcome(&owner, &release) {
                    None => told.tell(at(&release, &dynos)).await,
                    Some(Outcome::Succeeded) => {
                        told.tell(Progress::Route).await;
                        self.routed().await;
                        return told.tell(Progress::Done(Outcome::Succeeded)).await;
                    }
                    Some(other) => return told.tell(Progress::Done(other)).await,
                },
            }
            if passes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn routed(&self) {
        // Without a router there is nobody to wait for; it takes the table when it comes.
        let _ = tokio::time::timeout(ROUTER_ACK, self.followed()).await;
    }
}

/// Says each thing once.
#[derive(Clone)]
struct Told {
    sender: mpsc::Sender<Progress>,
    last: Option<Progress>,
}

impl Told {
    async fn tell(&mut self, progress: Progress) {
        if self.last.as_ref() != Some(&progress) {
            self.last = Some(progress.clone());
            // Nobody listening is no error: the release goes on.
            let _ = self.sender.send(progress).await;
        }
    }
}

fn at(release: &Release, dynos: &[Dyno]) -> Progress {
    let command = dynos.iter().any(|dyno| {
        dyno.name.process_type.as_str() == "release"
            && dyno.release_version == release.version
            && matches!(dyno.state, DynoState::Starting | DynoState::Up)
    });
    if command {
        Progress::Command
    } else {
        Progress::Boot
    }
}

fn outcome(owner: &App, release: &Release) -> Option<Outcome> {
    match release.status {
        ReleaseStatus::Pending => None,
        ReleaseStatus::Succeeded => Some(Outcome::Succeeded),
        ReleaseStatus::Failed => {
            let reason = release.failure.clone().unwrap_or_default();
            Some(Outcome::Failed {
                process: process_of(&reason, release.version),
                reason,
            })
        }
        ReleaseStatus::Expired => Some(Outcome::Superseded {
            by: owner.candidate_version.unwrap_or(owner.current_version),
        }),
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
