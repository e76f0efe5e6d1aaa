//! How many dynos a process type should have, judged by what its owner holds it to and what was measured.
//!
//! [`decide`] is a pure function of the rule, what was measured, how many dynos there are, what was done and the time; it
//! acts on nothing. Whoever calls it writes the quantity where `ps:scale` writes it, and tells the [`Memory`] of it.
//!
//! Architecture invariant: no IO, no clock, no ledger, no wire form. Seconds are those of a clock that nobody sets, since
//! whatever start the caller chose; the time of day is asked for schedules alone.

mod decide;
mod demand;
mod gauge;
mod memory;
mod pain;
mod reason;
mod recent;
mod sample;
mod signals;
mod wish;

pub use decide::{Decision, decide};
pub use memory::Memory;
pub use reason::Reason;
pub use ropewalk_model::scaling::Rule;
pub use sample::Sample;
pub use signals::{Dynos, HISTORY, Hold, Measure, Moment, Reading, Signals};
