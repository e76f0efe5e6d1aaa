//! Git over SSH: who shows a key of an account runs the two commands of git, and nothing else.
//!
//! `listen.rs` takes connections and ends them, `session.rs` is what one client may ask for, `exec.rs` reads the
//! command, `auth.rs` asks for the right, `serve.rs` joins the channel with git. From there on a push is the same as
//! one over HTTP: the same limits, the same hook, the same end when the client goes.
//!
//! Architecture invariant: no shell, no other program, no terminal, no forwarding; nothing that a client sends
//! stands in an argument of a process.

mod auth;
pub(crate) mod exec;
mod host_key;
mod listen;
mod serve;
mod session;

pub use host_key::HostKey;
pub(crate) use listen::listen;
