//! The API as clients see it, over a real ledger in a folder of its own; only the platform behind it is made up.

#![allow(clippy::unwrap_used)] // support code of tests

mod attach;
mod auth;
mod certificates;
mod log_session;
mod resources;
mod rig;
mod secrecy;
mod straight_line;
mod transport;
