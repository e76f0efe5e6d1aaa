//! The dyno manager: turns what the ledger wants into containers, and says what became of them.
//!
//! `plan` decides and touches nothing; `execute` touches the world and decides nothing; `reconcile` runs the two
//! on every signal and on a period, and takes no input but what it sees. Architecture invariant: nothing here
//! knows the router's or the API's code; tables leave through [`routes::Routes`].

mod ages;
mod checks;
mod disk;
mod environment;
mod error;
mod execute;
mod jobs;
mod launch;
mod observe;
mod outage;
mod output;
pub mod plan;
mod ports;
mod reconcile;
mod release;
pub mod routes;
mod runs;
pub mod sleep;
mod sleeper;
mod standby;
mod sweep;
mod traffic;
mod usage;
mod watch;

pub use error::SchedulerError;
pub use plan::Policy;
pub use reconcile::{Config, Parts, Scheduler, Status};
pub use release::{Outcome, Progress};
pub use routes::{Platform, Report, RouterView, Routes};
pub use runs::{Attachment, NewInside, NewRun, Started};
pub use usage::Usage;
