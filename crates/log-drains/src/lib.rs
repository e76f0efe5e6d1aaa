//! Log drains: apps' logs sent on to wherever people keep them, by syslog or HTTPS.
//!
//! Architecture invariants: a drain never holds up an app or another drain; what it cannot take is dropped, counted
//! and said in the app's log. No connection goes to an address that [`ropewalk_model::Egress`] does not permit, and
//! nothing that a target answers is shown to anybody.

mod backoff;
mod batch;
mod connect;
mod drain;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod post;
mod report;
mod run;
mod syslog;
mod timing;
mod tls;

pub use run::{LogDrains, Parts};
pub use timing::Timing;
pub use tls::host_roots;
