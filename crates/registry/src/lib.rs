//! The embedded registry: a store of blobs by digest, image manifests, and the read-only distribution API by which
//! `docker pull` gets any release.
//!
//! Architecture invariant: nothing here knows apps or the database; which repositories and tags exist, and who may
//! read them, is asked of a [`Catalog`]. Images cannot be pushed.

pub mod blob;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod image;
mod range;
mod reply;
pub mod server;

pub use blob::{BlobStore, BlobWriter};
pub use error::{Error, Result};
pub use image::{Form, ImageRef, Layer, Manifest, Settings};
pub use ropewalk_slug::Digest;
pub use server::{Catalog, Credentials, Refusal, routes};
