//! The sockets the router takes clients from: bound here, or handed over by whoever started the process.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::net::TcpSocket;

use crate::error::RouterError;
use crate::tcp::RawSockets;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Listening sockets, by what clients speak on them.
#[derive(Debug, Default)]
pub struct Listeners {
    /// HTTP.
    pub plain: Vec<TcpListener>,
    /// TLS.
    pub tls: Vec<TcpListener>,
    /// QUIC, for HTTP/3.
    pub quic: Vec<UdpSocket>,
    /// Of TCP routes: as many as the table says at the moment.
    pub raw: RawSockets,
}

impl Listeners {
    /// Binds fresh sockets; port 0 picks a free port. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`RouterError::Listen`] names the address that could not be bound.
    pub fn bind(plain: &[SocketAddr], tls: &[SocketAddr]) -> Result<Listeners, RouterError> {
        let bind = |addrs: &[SocketAddr]| {
            addrs
                .iter()
                .map(|addr| {
                    let addr = *addr;
                    listen(addr).map_err(|source| RouterError::Listen { addr, source })
                })
                .collect::<Result<_, _>>()
        };
        Ok(Listeners {
            plain: bind(plain)?,
            tls: bind(tls)?,
            ..Listeners::default()
        })
    }

    /// Binds fresh sockets for HTTP/3 besides those that there are; port 0 picks a free port.
    ///
    /// # Errors
    /// [`RouterError::Listen`] names the address that could not be bound.
    pub fn bind_quic(&mut self, addrs: &[SocketAddr]) -> Result<(), RouterError> {
        for addr in addrs {
            let socket = UdpSocket::bind(addr).map_err(|source| RouterError::Listen {
                addr: *addr,
                source,
            })?;
            self.quic.push(socket);
        }
        Ok(())
    }

    /// The sockets that systemd (or a like-minded parent) holds for this process, empty when there
    /// are none. Those whose name contains `tls` or `https` are for TLS, `quic` for QUIC.
    ///
    /// # Errors
    /// [`RouterError::Inherit`] when the environment announces sockets that are not there.
    pub fn inherited() -> Result<Listeners, RouterError> {
        let inherit = |source| RouterError::Inherit { source };
        let mut listeners = Listeners::default();
        let mut fds = sd_notify::listen_fds().map_err(inherit)?.peekable();
        if fds.peek().is_none() {
            return Ok(listeners);
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let this: Pid = getpid();
        let this = pidfd_open(this, PidfdFlags::empty()).map_err(|errno| inherit(errno.into()))?;
        for fd in fds {
            // A number is not an owner: have the kernel make a descriptor of our own from it.
            let owned = pidfd_getfd(&this, fd, PidfdGetfdFlags::empty())
                .map_err(|errno| inherit(errno.into()))?;
            let name = names.next().unwrap_or_default();
            if name.contains("quic") {
                listeners.quic.push(UdpSocket::from(owned));
            } else if name.contains("tls") || name.contains("https") {
                listeners.tls.push(TcpListener::from(owned));
            } else {
                listeners.plain.push(TcpListener::from(owned));
            }
        }
        Ok(listeners)
    }

    /// Where it takes HTTP, plain if there is any.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let sockets = match self.plain.is_empty() {
            true => &self.tls,
            false => &self.plain,
        };
        let mut addresses: Vec<IpAddr> = sockets
            .iter()
            .filter_map(|socket| Some(socket.local_addr().ok()?.ip()))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// There is no socket at all.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.tls.is_empty() && self.quic.is_empty()
    }
}

/// A fresh socket. Call it inside a Tokio runtime.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)?.into_std()
}
