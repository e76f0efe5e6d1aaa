//! The API as clients see it, over a real ledger in a folder of its own; only the platform behind it is made up.

#![allow(clippy::unwrap_used)] // support code of tests

mod accounts;
mod attach;
mod auth;
mod autoscale;
mod browser_login;
mod builds;
mod certificates;
mod conform;
mod edge;
mod hostile;
mod jobs;
mod keys;
mod later;
mod log_drain;
mod log_session;
mod metrics;
mod monitors;
mod pipelines;
mod rebase;
mod resources;
mod revocation;
mod rig;
mod schema;
mod secrecy;
mod sizes;
mod straight_line;
mod tcp_routes;
mod test_runs;
mod top;
mod transport;
mod two_factor;
