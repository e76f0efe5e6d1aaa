//! The sockets that clients come to, on their way from a router to the one that takes its place, over a unix socket.
//!
//! The kernel passes them on: the new router holds the very same sockets, so no connection that waits to be accepted
//! is lost, whoever ends when.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::listeners::Listeners;

/// Most sockets of one router; the kernel passes on 253 at once.
const MOST: usize = 250;
/// Room for what the kernel puts around so many.
const SPACE: usize = rustix::cmsg_space!(ScmRights(250));

/// One byte of the message for each socket: what clients speak on it.
const PLAIN: u8 = b'p';
const TLS: u8 = b't';
const QUIC: u8 = b'q';
const RAW: u8 = b'r';

impl Listeners {
    /// Passes every socket on; they stay open here too. Those of TCP routes that find no room the receiver opens itself,
    /// once they are closed here.
    ///
    /// # Errors
    /// More than 250 sockets for HTTP, or a receiver that is gone.
    pub fn send(&self, to: &UnixStream) -> io::Result<()> {
        let raw = self.raw.all()?;
        let named = self.plain.len() + self.tls.len() + self.quic.len();
        let all = || {
            let plain = self.plain.iter().map(|socket| (PLAIN, socket.as_fd()));
            let tls = self.tls.iter().map(|socket| (TLS, socket.as_fd()));
            let quic = self.quic.iter().map(|socket| (QUIC, socket.as_fd()));
            let raw = raw.iter().map(|socket| (RAW, socket.as_fd()));
            let raw = raw.take(MOST.saturating_sub(named));
            plain.chain(tls).chain(quic).chain(raw)
        };
        let kinds: Vec<u8> = all().map(|(kind, _)| kind).collect();
        let sockets: Vec<BorrowedFd<'_>> = all().map(|(_, socket)| socket).collect();
        if sockets.is_empty() || sockets.len() > MOST {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let sent = sendmsg(
            to,
            &[IoSlice::new(&kinds)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        match sent == kinds.len() {
            true => Ok(()),
            false => Err(ErrorKind::WriteZero.into()),
        }
    }

    /// Takes what [`Listeners::send`] passed on.
    ///
    /// # Errors
    /// A sender that is gone, or sent something else.
    pub fn receive(from: &UnixStream) -> io::Result<Listeners> {
        let mut kinds = [0; MOST];
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            from,
            &mut [IoSliceMut::new(&mut kinds)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let sockets: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                _ => None,
            })
            .flatten()
            .collect();
        let kinds = kinds.get(..received.bytes).unwrap_or_default();
        if sockets.is_empty() || sockets.len() != kinds.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut listeners = Listeners::default();
        for (kind, socket) in kinds.iter().zip(sockets) {
            match *kind {
                PLAIN => listeners.plain.push(TcpListener::from(socket)),
                TLS => listeners.tls.push(TcpListener::from(socket)),
                QUIC => listeners.quic.push(UdpSocket::from(socket)),
                RAW => listeners.raw.inherit(TcpListener::from(socket)),
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(listeners)
    }

    /// The same sockets once more; those of TCP routes are shared, and always those that there are.
    ///
    /// # Errors
    /// When no file descriptor is left.
    pub fn try_clone(&self) -> io::Result<Listeners> {
        let clone = |sockets: &[TcpListener]| -> io::Result<Vec<TcpListener>> {
            sockets.iter().map(TcpListener::try_clone).collect()
        };
        Ok(Listeners {
            plain: clone(&self.plain)?,
            tls: clone(&self.tls)?,
            quic: self
                .quic
                .iter()
                .map(UdpSocket::try_clone)
                .collect::<io::Result<_>>()?,
            raw: self.raw.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::SocketAddr;

    use super::*;
    use crate::tcp::RawSockets;

    fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
        sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap())
            .collect()
    }

    fn bind(count: usize) -> Vec<TcpListener> {
        (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect()
    }

    #[test]
    fn sockets_arrive_as_what_they_were() {
        let (here, there) = UnixStream::pair().unwrap();
        let listeners = Listeners {
            plain: bind(2),
            tls: bind(3),
            quic: vec![UdpSocket::bind("127.0.0.1:0").unwrap()],
            raw: RawSockets::default(),
        };
        for socket in bind(2) {
            listeners.raw.inherit(socket);
        }
        listeners.send(&here).unwrap();
        let arrived = Listeners::receive(&there).unwrap();
        assert_eq!(addresses(&arrived.plain), addresses(&listeners.plain));
        assert_eq!(addresses(&arrived.tls), addresses(&listeners.tls));
        assert_eq!(
            arrived.quic[0].local_addr().unwrap(),
            listeners.quic[0].local_addr().unwrap()
        );
        let raw = |listeners: &Listeners| addresses(&listeners.raw.all().unwrap());
        assert_eq!(raw(&arrived), raw(&listeners));
        // They go on when the first owner is gone.
        let address = arrived.plain[0].local_addr().unwrap();
        drop(listeners);
        std::net::TcpStream::connect(address).unwrap();
    }

    #[test]
    fn nothing_too_much_and_something_else_are_errors() {
        let (mut here, there) = UnixStream::pair().unwrap();
        Listeners::default().send(&here).unwrap_err();
        let many = Listeners {
            plain: bind(MOST + 1),
            ..Listeners::default()
        };
        many.send(&here).unwrap_err();
        // Of TCP routes as many go as there is room for.
        let routed = Listeners {
            plain: bind(2),
            ..Listeners::default()
        };
        for socket in bind(MOST) {
            routed.raw.inherit(socket);
        }
        routed.send(&here).unwrap();
        let arrived = Listeners::receive(&there).unwrap();
        assert_eq!(arrived.raw.all().unwrap().len(), MOST - 2);
        here.write_all(b"pp").unwrap();
        Listeners::receive(&there).unwrap_err();
        drop(here);
        Listeners::receive(&there).unwrap_err();
    }
}
