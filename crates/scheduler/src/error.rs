//! What can fail while dynos are managed.

use ropewalk_engine::EngineError;
use ropewalk_model::DynoId;
use ropewalk_store::StoreError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum SchedulerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Slug(#[from] ropewalk_slug::Error),
    #[error("dyno {dyno}: {what} is not here")]
    Missing { dyno: DynoId, what: String },
    /// The text is for the user.
    #[error("{0}")]
    Refused(String),
}

impl SchedulerError {
    /// Whether trying again later may help, with nothing changed by anybody.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Engine(EngineError::Unreachable(_) | EngineError::Timeout { .. })
                | Self::Store(StoreError::Closed)
        )
    }
}
