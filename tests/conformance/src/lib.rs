//! Walks a Platform API over HTTP, every resource and verb of the published schema, and says what does not fit.
//!
//! It knows nothing of the server but a base address and a token, so it holds any server to the same. Needs the right
//! to make and destroy apps; what it makes it removes.

mod client;
mod report;
mod schema;
mod step;
mod steps;
mod transport;
mod walk;

pub use report::{Outcome, Report};
pub use schema::{Link, Published, SCHEMA};
pub use walk::{Subject, walk};
