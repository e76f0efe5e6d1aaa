//! `apps`, `apps:*`: an app from its creation to its end.

pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod rename;
