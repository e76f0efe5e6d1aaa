//! A stack: the system that apps are built on and run on, made from a Debian release and lists of packages.
//!
//! A stack is data (`stacks/<name>/`); this crate turns it into a run image and a build image whose layers lie in
//! the blob store. Same packages, same digests.
//!
//! Architecture invariant: mounts exist only in namespaces of the programs that need them, so that nothing is left
//! mounted however a build ends. Nothing here talks to an engine; it writes an archive that any engine loads.

pub mod archive;
pub mod build;
mod cache;
mod chroot;
mod error;
mod files;
mod keyring;
mod layer;
mod mirror;
mod normalise;
mod packages;
pub mod spec;

pub use archive::docker_archive;
pub use build::{Stack, build};
pub use error::{Error, Result};
pub use spec::Spec;
