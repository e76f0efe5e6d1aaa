//! The slug: one built tree in its forms. The images that dynos mount, the archive that travels, and the mounts that put
//! the images under each dyno's `/app`. `listing.rs` says what is in a tree, `change.rs` what makes one another.
//!
//! Architecture invariant: nothing here knows apps, releases or the database. Trees are walked without following
//! a symbolic link, because what they hold was written by strangers; the same tree always gives the same digests.

pub mod archive;
pub mod change;
mod command;
pub mod digest;
mod error;
pub mod image;
mod listing;
mod mount;
pub mod mountinfo;
pub mod mounts;
pub mod notes;
pub mod staging;
mod stamps;
pub mod travel;
pub mod tree;
pub mod unpack;
mod used;
pub mod view;

pub use change::Change;
pub use command::remove_tree;
pub use digest::{Digest, HashWriter};
pub use error::{Error, Result};
pub use image::{Image, pack};
pub use listing::{Listing, Survey, survey};
pub use mounts::{Borrowed, Mounts, Observed, Present, Swept};
pub use notes::{Base, Notes};
pub use stamps::Stamps;
pub use travel::{GzipHasher, Travel, write_tgz};
pub use tree::{Limits, TreeFacts};
pub use used::{Used, used};
pub use view::View;

/// User and group that own every file of a slug and run every dyno.
pub const DYNO_ID: u32 = 20_000;

/// The time every file of a slug carries, in seconds since the epoch: one second into 1980. Not zero, because
/// ZIP archives (wheels, jars) cannot say a year before 1980 and tools that write them refuse such files.
pub const FIXED_TIME: u32 = 315_532_801;
