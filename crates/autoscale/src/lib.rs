//! How many dynos a process type should have, judged by how quickly it answers.
//!
//! [`propose`] is a pure function of what was measured, what is wanted, what was done and the time; it acts on
//! nothing. Whoever calls it writes the quantity where `ps:scale` writes it.
//!
//! Architecture invariant: no IO, no clock, no ledger, no wire form. Times are whole seconds of a clock that nobody
//! sets, since whatever start the caller chose.

mod memory;
mod propose;
mod sample;

pub use memory::Memory;
pub use propose::{HISTORY, Proposal, propose};
pub use ropewalk_model::monitor::Rule;
pub use sample::Sample;
