//! Asks the kernel for the listening sockets of a network namespace alone, over a socket that was made in it
//! (sock_diag(7)). The tables in /proc list every connection of the host's to find them, which takes milliseconds.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const HEADER: usize = 16;
const REQUEST: usize = 56;
/// `nlmsg_type`: what is asked, and the two that end an answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const FLAGS: u16 = 0x301;
const TCP: u8 = 6;
/// One bit for each state of TCP; 10 is `LISTEN`.
const LISTEN: u32 = 1 << 10;
const INET: u8 = 2;
const INET6: u8 = 10;
/// More than the kernel puts into one part of an answer.
const PART: usize = 32 << 10;
/// The kernel answers at once.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// A socket in a network namespace.
#[derive(Debug)]
pub(super) struct Diag(OwnedFd);

impl Diag {
    /// In the namespace of a process. By a thread of its own, which ends there.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
        let made = thread::Builder::new().name("listen".to_owned()).spawn(
            move || -> io::Result<OwnedFd> {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                let flags = SocketFlags::CLOEXEC;
                let protocol = Some(netlink::SOCK_DIAG);
                let socket =
                    socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
                set_socket_timeout(&socket, Timeout::Recv, Some(ANSWERED_WITHIN))?;
                Ok(socket)
            },
        )?;
        match made.join() {
            Ok(made) => Ok(Self(made?)),
            Err(_) => Err(io::Error::other("the thread that steps in ended early")),
        }
    }

    /// IPv4 first.
    pub(super) fn listening(&self) -> io::Result<Vec<SocketAddr>> {
        let mut bound = Vec::new();
        for family in [INET, INET6] {
            send(&self.0, &request(family), SendFlags::empty())?;
            let mut part = vec![0; PART];
            let mut over = false;
            while !over {
                let (_, length) = recv(&self.0, part.as_mut_slice(), RecvFlags::empty())?;
                over = read(part.get(..length).unwrap_or(&part), &mut bound)?;
            }
        }
        Ok(bound)
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`, but for what is zero.
fn request(family: u8) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    bytes[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&FLAGS.to_ne_bytes());
    bytes[HEADER] = family;
    bytes[HEADER + 1] = TCP;
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&LISTEN.to_ne_bytes());
    bytes
}

/// Takes what a part of an answer tells; returns whether the answer is over.
fn read(mut part: &[u8], bound: &mut Vec<SocketAddr>) -> io::Result<bool> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "a message is cut off");
    if part.is_empty() {
        return Err(cut());
    }
    while !part.is_empty() {
        let length = part.first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_ne_bytes(*length) as usize;
        let message = part.get(..length).filter(|_| length >= HEADER);
        let message = message.ok_or_else(cut)?;
        match u16::from_ne_bytes([message[4], message[5]]) {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::other("the kernel does not tell")),
            _ => bound.extend(address(&message[HEADER..])),
        }
        // Messages begin at multiples of four.
        part = part.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct inet_diag_msg`: the family, and from the fourth byte on port and address in the network's order.
fn address(message: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
    let address: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let ip: IpAddr = match *message.first()? {
        INET => Ipv4Addr::from(*address.first_chunk()?).into(),
        INET6 => Ipv6Addr::from(address).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket's message: [`request`] has the form of one, with a port of 4 at the address of nobody.
    fn told() -> Vec<u8> {
        request(INET).into()
    }

    #[test]
    fn an_answer_is_over_when_it_says_so() {
        let mut done = told();
        done[4..6].copy_from_slice(&DONE.to_ne_bytes());
        let mut bound = Vec::new();
        assert!(!read(&told(), &mut bound).unwrap());
        assert!(read(&[told(), done].concat(), &mut bound).unwrap());
        assert_eq!(bound.len(), 2);
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error() {
        for length in 0..told().len() {
            assert!(
                read(&told()[..length], &mut Vec::new()).is_err(),
                "{length}"
            );
        }
        let mut shorter_than_a_header = told();
        shorter_than_a_header[0] = 3;
        assert!(read(&shorter_than_a_header, &mut Vec::new()).is_err());
        let mut refused = told();
        refused[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        assert!(read(&refused, &mut Vec::new()).is_err());
    }
}
