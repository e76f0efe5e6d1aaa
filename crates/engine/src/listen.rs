//! What a dyno has bound: the listening sockets of a process's network namespace, as the kernel tells them or, where it
//! cannot be asked, from /proc.
//!
//! Tells when a dyno is up, and the user of one that missed its boot time which address it listens on instead of
//! `0.0.0.0:$PORT`.

mod diag;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state `LISTEN` in /proc/net/tcp.
const LISTENING: &str = "0A";

/// Where the engine's own name server listens inside each container.
const ENGINE_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// A look at one network namespace that may be repeated a hundred times a second.
#[derive(Debug)]
pub struct Listeners {
    pid: u32,
    /// `None` where the kernel cannot be asked.
    diag: Option<diag::Diag>,
}

impl Listeners {
    /// Those of the namespace in which process `pid` is now. Blocks for a fraction of a millisecond.
    pub fn of(pid: u32) -> Self {
        let diag = diag::Diag::of(pid)
            .inspect_err(|error| tracing::debug!(pid, %error, "The tables of /proc are read."))
            .ok();
        Self { pid, diag }
    }

    /// The process whose namespace is looked at.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// As [`listening`], in microseconds.
    ///
    /// # Errors
    /// As [`listening`].
    pub fn now(&self) -> io::Result<Vec<SocketAddr>> {
        match self.diag.as_ref().map(diag::Diag::listening) {
            Some(Ok(mut bound)) => {
                bound.retain(|address| address.ip() != ENGINE_RESOLVER);
                Ok(bound)
            }
            // A kernel without the module says so only when it is asked.
            _ => listening(self.pid),
        }
    }
}

/// TCP addresses that are listened on in the network namespace of process `pid`, IPv4 first; the engine's own name
/// server is left out.
///
/// # Errors
/// When there is no such process (`NotFound`) or it may not be looked at (`PermissionDenied`).
pub fn listening(pid: u32) -> io::Result<Vec<SocketAddr>> {
    let mut bound = parse(&std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?);
    match std::fs::read_to_string(format!("/proc/{pid}/net/tcp6")) {
        Ok(table) => bound.extend(parse(&table)),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(bound)
}

/// The listening addresses of a table in the form of /proc/net/tcp or tcp6; lines of another form are passed over.
pub(crate) fn parse(table: &str) -> Vec<SocketAddr> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let local = fields.next()?;
            let state = fields.nth(1)?;
            (state == LISTENING).then(|| address(local)).flatten()
        })
        .filter(|address| address.ip() != ENGINE_RESOLVER)
        .collect()
}

/// An address as the kernel writes it: words of the address in the host's byte order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |from: usize| {
        let digits = ip.get(from..from + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn listening_sockets_are_found_in_both_tables() {
        let tcp = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:A5C3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 x 100 0
   1: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000 20000        0 2 1 x 100 0
   2: 020011AC:1388 010011AC:C350 01 00000000:00000000 00:00000000 00000000 20000        0 3 1 x 20 4
";
        assert_eq!(parse(tcp), ["127.0.0.1:5000".parse().expect("address")]);
        let tcp6 = "\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000
";
        let expected: Vec<SocketAddr> = ["[::]:8080", "[::1]:8081"]
            .map(|text| text.parse().expect("address"))
            .to_vec();
        assert_eq!(parse(tcp6), expected);
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        assert_eq!(parse(""), []);
        assert_eq!(
            parse("a\n1: zz:zz 0 0A\n2: 00:1 0 0A\n3: 0100007F 0 0A"),
            []
        );
    }

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("address");
        let bound = listening(std::process::id()).expect("read");
        assert!(bound.contains(&address), "{address} in {bound:?}");
    }

    #[test]
    fn both_ways_tell_the_same() {
        let v4 = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let v6 = std::net::TcpListener::bind("[::1]:0");
        let listeners = Listeners::of(std::process::id());
        for own in [Some(v4), v6.ok()].into_iter().flatten() {
            let address = own.local_addr().expect("address");
            assert!(listeners.now().expect("asked").contains(&address));
            drop(own);
            assert!(!listeners.now().expect("asked").contains(&address));
        }
    }

    #[test]
    fn no_such_process_is_an_error() {
        assert!(listening(u32::MAX).is_err());
        assert!(Listeners::of(u32::MAX).now().is_err());
    }
}
