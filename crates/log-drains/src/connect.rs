//! The one way out: resolve, check every address, connect to a checked one, and TLS on top.
//!
//! The address that is checked is the address that is connected to, so a name cannot change in between.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_model::drain::Transport;
use ropewalk_model::{DrainUrl, Egress};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Names looked up at the same time: a lookup holds a thread until the resolver gives up.
const LOOKUPS: usize = 16;
/// Addresses of one name that are tried.
const TRIES: usize = 4;

pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection, with TLS where the address asks for it.
pub(crate) type Stream = Box<dyn Wire>;

#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("the name could not be looked up: {0}")]
    Lookup(io::Error),
    #[error("drains may not connect there")]
    Refused,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("the certificate does not hold: {0}")]
    Certificate(String),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("it took too long")]
    Deadline,
}

pub(crate) struct Connector {
    egress: Egress,
    tls: TlsConnector,
    lookups: Semaphore,
    /// For each step.
    deadline: Duration,
}

impl Connector {
    pub(crate) fn new(egress: Egress, tls: Arc<ClientConfig>, deadline: Duration) -> Self {
        Self {
            egress,
            tls: TlsConnector::from(tls),
            lookups: Semaphore::new(LOOKUPS),
            deadline,
        }
    }

    pub(crate) async fn connect(&self, url: &DrainUrl) -> Result<Stream, ConnectError> {
        let tcp = self.tcp(url).await?;
        if !url.transport().is_encrypted() {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let stream = timeout(self.deadline, self.tls.connect(name, tcp))
            .await
            .map_err(|_| ConnectError::Deadline)?
            .map_err(of_handshake)?;
        Ok(Box::new(stream))
    }

    async fn tcp(&self, url: &DrainUrl) -> Result<TcpStream, ConnectError> {
        let mut last = ConnectError::Refused;
        for address in self.addresses(url).await? {
            match timeout(self.deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = ConnectError::Connect(error),
                Err(_) => last = ConnectError::Deadline,
            }
        }
        Err(last)
    }

    /// Those of the host's addresses that may be connected to; none is [`ConnectError::Refused`].
    async fn addresses(&self, url: &DrainUrl) -> Result<Vec<SocketAddr>, ConnectError> {
        let found: Vec<SocketAddr> = match url.host().parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, url.port())],
            Err(_) => {
                let lookup = async {
                    // The semaphore is never closed.
                    let _turn = self.lookups.acquire().await;
                    tokio::net::lookup_host((url.host(), url.port())).await
                };
                timeout(self.deadline, lookup)
                    .await
                    .map_err(|_| ConnectError::Deadline)?
                    .map_err(ConnectError::Lookup)?
                    .collect()
            }
        };
        let mut permitted: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.permits(url.transport(), address.ip()))
            .collect();
        permitted.truncate(TRIES);
        if permitted.is_empty() {
            return Err(ConnectError::Refused);
        }
        Ok(permitted)
    }

    fn permits(&self, transport: Transport, address: IpAddr) -> bool {
        if self.egress.lists(address) {
            return true;
        }
        transport != Transport::Http && self.egress.permits(address) && !is_own(address)
    }
}

/// Whether this host has the address, so that the platform itself would answer there.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn of_handshake(error: io::Error) -> ConnectError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => ConnectError::Certificate(why.to_string()),
        _ => ConnectError::Tls(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(listed: &[&str]) -> Connector {
        let egress = Egress::new(listed.iter().map(|range| range.parse().unwrap()).collect());
        let tls = crate::tls::config(rustls::RootCertStore::empty()).unwrap();
        Connector::new(egress, tls, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn neither_an_address_nor_a_name_leads_to_the_host_by_itself() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = async |connector: &Connector, url: &str| {
            let url = DrainUrl::parse(url).unwrap();
            matches!(connector.connect(&url).await, Err(ConnectError::Refused))
        };
        let strict = connector(&[]);
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
        ] {
            for scheme in ["syslog", "syslog+tls", "https", "http"] {
                let url = format!("{scheme}://{host}:{port}");
                assert!(refused(&strict, &url).await, "{url}");
            }
        }
        let open = connector(&["127.0.0.0/8"]);
        assert!(!refused(&open, &format!("syslog://localhost:{port}")).await);
        assert!(refused(&open, "http://192.168.0.1").await);
        assert!(!open.permits(Transport::Http, "8.8.8.8".parse().unwrap()));
        assert!(open.permits(Transport::Https, "8.8.8.8".parse().unwrap()));
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("8.8.8.8".parse().unwrap()));
    }
}
