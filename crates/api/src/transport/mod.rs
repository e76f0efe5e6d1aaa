//! How requests come in and answers go out, the same for every resource.

pub(crate) mod about;
pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod error;
pub(crate) mod etag;
pub(crate) mod frame;
pub(crate) mod quota;
pub(crate) mod range;
pub(crate) mod sign;
pub(crate) mod text;
pub(crate) mod variant;
