//! What an ordinary exchange needs of its client's connection.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A client's connection.
pub(crate) trait Client: AsyncRead + AsyncWrite + Unpin {
    /// The socket, when it takes the bytes as they are.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Client for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client for TlsStream<S> {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}
