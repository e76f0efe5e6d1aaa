//! What the router is told when it starts.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_api_types::router::Table;
use ropewalk_model::egress::Cidr;

use crate::stats::Counters;

/// How to run a router; the listening sockets come beside it, in [`crate::Listeners`].
#[derive(Debug)]
pub struct Config {
    /// Where the table comes from and the log goes to.
    pub source: Source,
    /// The platform's own certificate, for every name that has none of its own. Without it, and without a server that
    /// sends certificates, no socket can be for TLS.
    pub tls: Option<TlsFiles>,
    /// Folder of an authority of this machine's own, made at first, for names below `localhost`. With it clients may
    /// also speak TLS on the sockets for plain HTTP.
    pub local_authority: Option<PathBuf>,
    /// Connections from these addresses begin with a PROXY header that names the client; others must not.
    pub proxies: Vec<Cidr>,
    pub limits: Limits,
    /// Counted into; keep a clone to export them.
    pub counters: Arc<Counters>,
}

/// Where the table comes from and the log goes to.
pub enum Source {
    /// The server, over its unix socket.
    Link {
        /// The server's `router.sock`. It may be missing or dead at any time.
        socket: PathBuf,
        /// Where the last table is kept, and what is served from until the server answers.
        table_file: PathBuf,
        /// The same for the certificates.
        certificates_file: PathBuf,
    },
    /// A table that never changes: the router on its own.
    Fixed {
        table: Table,
        /// Log lines go here, one per line, written by a thread of their own.
        log: Option<Box<dyn Write + Send>>,
    },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Link {
                socket, table_file, ..
            } => f
                .debug_struct("Link")
                .field("socket", socket)
                .field("table_file", table_file)
                .finish(),
            Source::Fixed { table, .. } => f
                .debug_struct("Fixed")
                .field("apps", &table.apps.len())
                .finish_non_exhaustive(),
        }
    }
}

/// A certificate chain and its key, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Times and sizes. The defaults are Heroku's where Heroku has one.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For one connection attempt to a dyno; then another dyno is tried, in the end H19. 5 s.
    pub connect: Duration,
    /// The same while there are other dynos to try. 250 ms.
    pub connect_first: Duration,
    /// For which a request waits until a dyno has a place for it; then H12. 30 s.
    pub line: Duration,
    /// From the end of the request to the first byte of the response; then H12. 30 s.
    pub first_byte: Duration,
    /// Without a byte in either direction; then H15 (H28 when the client is the silent one). 55 s.
    pub idle: Duration,
    /// For which a request is held while the app's dynos boot; then H20. 75 s.
    pub boot: Duration,
    /// For which a request is held after a start without any table; then H99. 10 s.
    pub first_table: Duration,
    /// Requests of one app that are held while it boots, and as many that wait in line; beyond it H11. 1,000.
    pub held: u64,
    /// For which an idle connection to a dyno is kept. Below the 5 s after which common app servers
    /// close. 4 s.
    pub pool_idle: Duration,
    /// The same for requests that could not be repeated if the dyno closed at that very moment. 1 s.
    pub pool_idle_unrepeatable: Duration,
    /// For a client to send the head of a request, and for which its idle connection is kept. 30 s.
    pub header: Duration,
    /// For a TLS handshake. 10 s.
    pub handshake: Duration,
    /// Bytes of method, target and version; beyond it 414. 8 KiB.
    pub request_line: usize,
    /// Headers of a request; beyond it 431. 1,000.
    pub headers: usize,
    /// Bytes of a request's head; beyond it 431. 64 KiB.
    pub head: usize,
    /// Without a byte in either direction of a one-off dyno's terminal. 1 h.
    pub terminal: Duration,
    /// For which a connection over a TCP route waits for a dyno that takes it; then it is reset (H19, H20 or H21). 30 s.
    pub tcp_wait: Duration,
    /// Connections over one TCP route that are open at once; beyond it H11. 1,000.
    pub tcp_open: u64,
    /// The same of one client address, or one network of 64 bits of IPv6. 100.
    pub tcp_client: u64,
    /// For requests in flight to finish once the router is told to stop. 30 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(5),
            connect_first: Duration::from_millis(250),
            line: Duration::from_secs(30),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(55),
            boot: Duration::from_secs(75),
            first_table: Duration::from_secs(10),
            held: 1_000,
            pool_idle: Duration::from_secs(4),
            pool_idle_unrepeatable: Duration::from_secs(1),
            header: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            request_line: 8 * 1024,
            headers: 1_000,
            head: 64 * 1024,
            terminal: Duration::from_secs(3_600),
            tcp_wait: Duration::from_secs(30),
            tcp_open: 1_000,
            tcp_client: 100,
            drain: Duration::from_secs(30),
        }
    }
}
