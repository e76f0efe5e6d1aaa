//! The `ropewalk` command from the outside: what it sends, prints and exits with, against a scripted API.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod accounts;
mod apps;
mod archives;
mod autoscale;
mod ci;
mod config;
mod dynos;
mod edge;
mod fake;
mod heroku;
mod keys;
mod login;
mod metrics;
mod others;
mod pipelines;
mod rebase;
mod releases;
mod run;
mod top;
