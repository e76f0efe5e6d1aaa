//! The right that a stream lives by: a token's, on an app or a pipeline. It is looked at when the stream opens, whenever the
//! ledger says that somebody lost a right, and when the token's time is up.

use std::time::Duration;

use jiff::Timestamp;
use ropewalk_model::{AppId, PipelineId, TokenId, UserId};
use ropewalk_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authorise::{Actor, Relation, Resource, Verb, authorise};
use crate::transport::error::ApiResult;

/// At the latest after this time a right is looked at again, whatever was said.
const SWEEP: Duration = Duration::from_secs(15);
/// After the ledger could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Stands in sealed addresses.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Grant {
    app: Uuid,
    /// That is the id of a pipeline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pipeline: bool,
    user: Uuid,
    token: Uuid,
    /// When it was given: Unix time in seconds.
    at: i64,
}

/// What the stream lets one do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// Read the app's log and outputs.
    See,
    /// Send it code.
    Change,
    /// Run commands in its dynos.
    Run,
}

impl Need {
    fn of(self, relation: Relation) -> (Verb, Resource) {
        match self {
            Self::See => (Verb::Read, Resource::App(relation)),
            Self::Change => (Verb::Write, Resource::App(relation)),
            Self::Run => (Verb::Write, Resource::Config(relation)),
        }
    }
}

impl Grant {
    /// Whoever gives it has asked [`authorise`] already.
    pub(crate) fn of(actor: &Actor, app: AppId) -> Self {
        Self {
            app: app.0,
            pipeline: false,
            user: actor.user.id.0,
            token: actor.token.id.0,
            at: Timestamp::now().as_second(),
        }
    }

    /// The same on a pipeline.
    pub(crate) fn of_pipeline(actor: &Actor, pipeline: PipelineId) -> Self {
        Self {
            pipeline: true,
            ..Self::of(actor, AppId(pipeline.0))
        }
    }

    /// The same for all that is given within the hour, so that the addresses in an answer stay the same for a while.
    pub(crate) fn within_the_hour(self) -> Self {
        Self {
            at: self.at - self.at.rem_euclid(3_600),
            ..self
        }
    }

    pub(crate) fn app(&self) -> AppId {
        AppId(self.app)
    }

    /// Seconds since it was given.
    pub(crate) fn age(&self) -> i64 {
        Timestamp::now().as_second() - self.at
    }

    /// Whether the token is still there, and whoever has it may still do that to the app.
    pub(crate) async fn holds(&self, store: &Store, need: Need) -> ApiResult<bool> {
        Ok(self.look(store, need).await?.is_some())
    }

    /// Ends once the right is gone.
    pub(crate) async fn lost(self, store: Store, need: Need) {
        let mut told = store.revocations();
        loop {
            told.borrow_and_update();
            let wait = match self.look(&store, need).await {
                Ok(Some(left)) => left.min(SWEEP),
                Ok(None) => return,
                Err(_) => AGAIN,
            };
            // The store is here, so the sender is.
            let _ = tokio::time::timeout(wait, told.changed()).await;
        }
    }

    /// How long the token may still be used, if the right is there.
    async fn look(&self, store: &Store, need: Need) -> ApiResult<Option<Duration>> {
        let (user, token) = (UserId(self.user), TokenId(self.token));
        let (id, of_pipeline) = (self.app, self.pipeline);
        let found = store
            .read(move |view| {
                let Some(token) = view.token(token)?.filter(|token| token.user == user) else {
                    return Ok(None);
                };
                let user = view.user(user)?;
                let relation = match of_pipeline {
                    true => view
                        .pipeline(PipelineId(id))
                        .and_then(|pipeline| view.pipeline_relation(user.id, &pipeline)),
                    false => view
                        .app(AppId(id))
                        .and_then(|app| view.relation(user.id, &app)),
                };
                match relation {
                    Ok(relation) => Ok(Some((Actor { user, token }, relation))),
                    Err(StoreError::NotFound(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        let now = Timestamp::now();
        Ok(found.and_then(|(actor, relation)| {
            let (verb, resource) = need.of(relation);
            if actor.token.has_expired(now) || authorise(&actor, verb, resource).is_err() {
                return None;
            }
            let left = actor.token.expires_at.map(|at| at.duration_since(now));
            Some(left.map_or(SWEEP, |left| {
                Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1)
            }))
        }))
    }
}
