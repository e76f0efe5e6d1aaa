//! Git: the transport, the repositories, and what a push means.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod command;
pub(crate) mod exchange;
pub(crate) mod frame;
pub(crate) mod hook;
pub(crate) mod hook_script;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod push;
pub(crate) mod refs;
pub(crate) mod repo;
pub(crate) mod ssh;
