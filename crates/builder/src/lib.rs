//! From `git push` to a release: git over HTTP, the build in its container, the slug, the release rows.
//!
//! Read it in the order of a push: `git/http.rs` (who may push), `git/hook.rs` (what is pushed), `build.rs` (the
//! straight line).
//!
//! Architecture invariant: code of the app and of buildpacks runs in a container, never in this process; nothing
//! here follows a symbolic link that such code made. A failed, refused or interrupted build changes nothing that
//! runs. This crate never starts a dyno: it writes a release row and follows what becomes of it through
//! [`Releases`].

mod build;
mod context;
mod error;
mod git;
mod options;
mod ports;
mod sweep;

pub use build::inherit::Inherited;
pub use context::Builder;
pub use error::{Error, Result};
pub use git::hook::hook_main;
pub use options::{AppUrls, Limits, Options};
pub use ports::{
    BoxStream, NoOutputs, OutputSink, Outputs, ReleaseEvent, ReleaseOutcome, ReleasePhase, Releases,
};
pub use sweep::Swept;
