//! Apps under load, side by side: each test waits for windows and graces most of its time.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // support code of tests

mod autoscale;
mod mixed;
