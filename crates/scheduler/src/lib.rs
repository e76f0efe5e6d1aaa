//! The dyno manager: turns what the ledger wants into containers, and says what became of them.
//!
//! `plan` decides and touches nothing; `execute` touches the world and decides nothing; `reconcile` runs the two
//! on every signal and on a period, and takes no input but what it sees. Architecture invariant: nothing here
//! knows the router's or the API's code; tables leave through [`routes::Routes`].

pub mod plan;
