//! What certificate authorities say about certificates that are served: not revoked, or revoked (OCSP, RFC 6960). The
//! answers go to clients with the handshake, so that none has to ask, and none tells an authority whom it visits.
//!
//! # Layout
//! `subject.rs` reads from a chain whom to ask and what; `answer.rs` judges an answer; `plan.rs` says when to ask
//! again, and what people are told. None of them does anything. `fetch.rs` is the way to an authority, `folder.rs` keeps
//! answers over a restart, `run.rs` puts it together.
//!
//! Architecture invariants: only this crate names x509-ocsp. An answer is given out only after its signature, its times
//! and whom it is about were checked; addresses that certificates name are connected to only where `model::egress`
//! permits it.

mod answer;
mod fetch;
mod folder;
mod plan;
mod run;
mod status;
mod subject;

pub mod fuzz;

pub use fetch::Timing;
pub use run::{Parts, Served, Staple, Staples};
pub use status::{State, Status, look};
