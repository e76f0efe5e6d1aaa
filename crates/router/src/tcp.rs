//! Raw TCP: bytes that come in on a port of the host, or over TLS for a name, on their way to an app's dynos and back.
//!
//! `index` is the part of the table that says where they go, `sockets` the ports that are listened on for it, `tape` reads
//! the name that a client of TLS wants without losing a byte, `preface` what a dyno is told of who comes, `connection` is one connection's whole life and `record`
//! what is told of it. Must not look into what it passes on, beyond that name.

mod connection;
mod index;
mod preface;
mod record;
mod sockets;
mod tape;

pub(crate) use connection::serve;
pub(crate) use index::{Route, Tcp};
pub use sockets::RawSockets;
pub(crate) use sockets::run;
pub(crate) use tape::Tape;
