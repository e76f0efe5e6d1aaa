//! Drains against sinks on loopback: what arrives, and what happens when a sink is slow, wrong or gone.

#![allow(clippy::unwrap_used)] // support code of tests

mod http;
mod rig;
mod rules;
mod syslog;
