//! The Platform API v3: requests in, the ledger read or changed, wire forms out.
//!
//! Architecture invariants: handlers own no rules (those are in `model` and `store`) and start nothing; what must
//! happen outside the ledger goes through [`Platform`]. Rights are decided in one function. Only wire forms leave.

mod authorise;
mod browser_logins;
mod builds;
mod context;
#[doc(hidden)]
pub mod fuzz;
mod grant;
mod password;
mod platform;
mod resource;
mod routes;
mod state;
mod terminals;
mod text;
mod totp;
mod transport;

pub use builds::{Archive, ArchiveError, BuildRequest, Builds, ByteStream, Origin, TestRequest};
pub use context::{Context, Ssh, Urls};
pub use platform::{
    AttachError, Attachment, DynoCounts, EngineStatus, InsideRequest, Platform, ProcessStatus,
    RunError, RunRequest, RunStarted, SchedulerStatus, StackStatus, Status,
};
pub use routes::routes;
pub use terminals::Terminals;
pub use transport::quota::Rate;
pub use transport::sign::SigningKey;
