//! Apps' logs, and the output of builds and release commands.
//!
//! Both may be lost in a crash (nothing is synced to disk) and neither ever holds up who writes. Nothing here
//! knows HTTP; addresses and rights are the API's.

mod app_log;
mod entry;
#[doc(hidden)]
pub mod fuzz;
mod logs;
mod output;
mod spool;
mod tap;
mod writer;

pub use entry::{Entry, Filter};
pub use logs::{Follow, Logs, LogsError};
pub use output::{MAX_OUTPUT, OutputError, OutputWriter, Outputs};
pub use tap::Tap;
