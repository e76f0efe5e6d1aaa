//! From `git push` or a source archive to a release: git over HTTP and SSH, the build in its container, the slug, the
//! release rows. Slugs that are sent in, and test runs, too.
//!
//! Read it in the order of a push: `git/http.rs` or `git/ssh/` (who may push), `git/hook.rs` (what is pushed),
//! `build.rs` (the straight line). An archive comes in by `sources.rs` and joins the line in `build/archive.rs`; a test
//! run goes the same way as far as the slug (`build/test_run.rs`).
//!
//! Architecture invariant: code of the app and of buildpacks runs in a container, never in this process; nothing
//! here follows a symbolic link that such code made. A failed, refused or interrupted build changes nothing that
//! runs. This crate never starts a dyno: it writes a release row and follows what becomes of it through
//! [`Releases`], and what tests run in is asked for through [`Dynos`].

mod build;
mod context;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod git;
mod options;
mod ports;
mod slugs;
mod sources;
mod sweep;
mod uploads;

pub use build::archive::{Archive, Origin};
pub use build::inherit::Inherited;
pub use build::order::ArchiveOrder;
pub use build::test_run::TestOrder;
pub use context::Builder;
pub use error::{Error, Result};
pub use git::hook::hook_main;
pub use git::ssh::HostKey;
pub use options::{AppUrls, Limits, Options};
pub use ports::{
    BoxStream, DynoError, DynoOutput, DynoRun, Dynos, Egress, EgressError, Fetched, NoDynos,
    NoEgress, NoOutputs, OutputSink, Outputs, ReleaseEvent, ReleaseOutcome, ReleasePhase, Releases,
    RunningDyno,
};
pub use sweep::Swept;
pub use uploads::{Refused, Upload, parse_checksum};
