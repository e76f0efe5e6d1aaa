//! Why the router cannot start. Once it runs, nothing makes it return an error.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`crate::run`] or [`crate::Listeners`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("cannot listen on {addr}")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot take over the sockets handed to this process")]
    Inherit {
        #[source]
        source: io::Error,
    },
    #[error("cannot use a listening socket")]
    Socket {
        #[source]
        source: io::Error,
    },
    #[error("cannot start the threads that serve")]
    Threads {
        #[source]
        source: io::Error,
    },
    #[error("a socket listens for TLS, but there is no certificate")]
    NoCertificate,
    #[error("cannot read {path}")]
    ReadPem {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{cert} and its key cannot be used", cert = cert.display())]
    Certificate {
        cert: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("the local authority in {folder} cannot be used", folder = folder.display())]
    Authority {
        folder: PathBuf,
        #[source]
        source: crate::authority::Failure,
    },
    #[error("TLS cannot be set up")]
    Tls {
        #[source]
        source: rustls::Error,
    },
}
