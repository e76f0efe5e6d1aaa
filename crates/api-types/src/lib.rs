//! The forms that travel: JSON of the Platform API v3 and of the link between server and router.
//!
//! Nothing here is ever stored, and no rule lives here: a type says what the wire says, no more.

pub mod attach;
pub mod router;
