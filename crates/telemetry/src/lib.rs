//! What the platform says about itself: its own log, metrics, process gauges, and supervised tasks.
//!
//! Architecture invariant: only this crate names prometheus and tracing-subscriber. It knows nothing of apps or
//! dynos, and an app's log never goes through it.

mod log;
mod metrics;
mod process;
mod rounds;
mod tasks;

pub use log::{Format, InitError, VARIABLE, init};
pub use metrics::{CONTENT_TYPE, Distribution, Labels, MetricError, Reading};
pub use process::{Usage, resident, rss_bytes, together, usage};
pub use rounds::{Round, RoundStatus};
pub use tasks::{Shutdown, TaskState, TaskStatus, Tasks};
