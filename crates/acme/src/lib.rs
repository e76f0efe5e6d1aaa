//! Automatic certificates: gets and renews those of apps' own domains, and where it is asked to those of the platform's
//! own names, from an authority that speaks ACME (RFC 8555).
//!
//! # Layout
//! `plan.rs` decides for every domain whether an order is due, by which challenge, and what its people are told; it
//! touches nothing; `platform.rs` says which names are the platform's own. `order.rs` carries one order out and decides nothing. `run.rs` reads the ledger, plans, and starts
//! orders, on every signal and now and then. `authority.rs` is the way to the authority, `answers.rs` and `hook.rs` the
//! two ways in which it is shown that a name leads here.
//!
//! Architecture invariants: only this crate names instant-acme. Nothing is ordered for a name that is neither an
//! app's domain nor the platform's own.
//! The authority is told to look only once every router gives the answer.

mod answers;
mod authority;
mod certificate;
mod failure;
mod hook;
mod http;
mod order;
mod plan;
mod platform;
mod run;
mod settings;

pub use answers::{Answer, Front, Proof};
pub use certificate::{Said, Unreadable};
pub use plan::Policy;
pub use run::{Acme, Parts};
pub use settings::{External, Settings, SettingsError, roots};
