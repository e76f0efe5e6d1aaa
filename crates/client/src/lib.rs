//! A typed client of the Platform API, for the CLI and for tests.
//!
//! # Layout
//! - [`Client`] (`client.rs`) holds the connection: address, token, trust, name resolution; `request.rs` sends,
//!   pages through lists and turns error bodies into [`Error`].
//! - One file per resource (`apps.rs`, `formation.rs` ...) with one method per request.
//! - [`logs`] follows a log session and resumes it, [`output`] reads a build's or release's output,
//!   [`attach`] talks to a one-off dyno, [`archives`] sends and fetches source archives and slugs.
//!
//! It never talks to the user and never reads their home directory: what it needs it is told in [`Config`].

mod account;
mod acm;
mod apps;
pub mod archives;
pub mod attach;
mod autoscale;
mod browser_login;
mod builds;
mod client;
mod collaborators;
mod config_vars;
mod domains;
mod dyno_settings;
mod dyno_sizes;
mod dynos;
mod edge;
mod error;
mod features;
mod formation;
mod jobs;
mod keys;
mod log_drains;
pub mod logs;
mod metrics;
mod monitors;
mod oauth;
pub mod output;
mod pipelines;
mod rebase;
mod relay;
mod releases;
mod request;
mod resolve;
mod sleep;
mod sni_endpoints;
mod sse;
mod stacks;
mod tcp_routes;
mod test_runs;
mod users;

pub use client::{Client, Config};
pub use error::{ApiError, Error, Result};
pub use oauth::Credentials;
pub use ropewalk_api_types as types;
