//! The PROXY protocol, version 1 and 2: what a proxy in front says of a connection before the client's first byte.
//!
//! Only who is trusted is listened to; that is decided elsewhere. [`parse`] is pure and reads one header, never a byte
//! behind it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a version 2 header before its addresses.
const FIXED: usize = 16;
/// What version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";
/// Longest line of version 1, its end included.
const LINE: usize = 107;
/// Longest header that is taken; version 2 may carry what nobody here reads.
const MOST: usize = 4 * 1024;

/// The ends of a connection as the proxy saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    /// Where the client connected to.
    pub(crate) server: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header.
    Partial,
    /// A header of that many bytes. Without ends the connection is the proxy's own (a health check), or nothing that it
    /// can name.
    Whole { length: usize, ends: Option<Ends> },
}

/// It is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no well-formed PROXY header")]
pub(crate) struct Malformed;

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, malformed)
    }
}

/// Takes the header off a connection, and leaves what follows it where it is.
pub(crate) async fn receive(stream: &mut TcpStream) -> io::Result<Option<Ends>> {
    let mut buffer = vec![0; MOST];
    let mut taken = 0;
    loop {
        let rest = buffer.get_mut(taken..).unwrap_or_default();
        let count = stream.peek(rest).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = buffer.get(..taken + count).unwrap_or_default();
        let parsed = parse(seen)?;
        let end = match parsed {
            Parsed::Partial => taken + count,
            Parsed::Whole { length, .. } => length,
        };
        // What was seen is there.
        let ours = buffer.get_mut(taken..end).unwrap_or_default();
        stream.read_exact(ours).await?;
        taken = end;
        if let Parsed::Whole { ends, .. } = parsed {
            return Ok(ends);
        }
    }
}

/// Reads a header at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if starts(bytes, SIGNATURE) {
        binary(bytes)
    } else if starts(bytes, WORD) {
        line(bytes)
    } else {
        Err(Malformed)
    }
}

/// Whether `bytes` begin with `mark`, or may still.
fn starts(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(byte, marked)| byte == marked)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.9 56324 443`.
fn line(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let most = bytes.get(..LINE).unwrap_or(bytes);
    let Some(end) = most.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE {
            true => Ok(Parsed::Partial),
            false => Err(Malformed),
        };
    };
    let text = most
        .get(WORD.len()..end)
        .and_then(|text| text.strip_suffix(b"\r"));
    let text = text
        .and_then(|text| std::str::from_utf8(text).ok())
        .ok_or(Malformed)?;
    let mut words = text.split(' ');
    let ends = match words.next() {
        // Whatever stands behind it.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(named::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(named::<Ipv6Addr>(words)?),
        _ => return Err(Malformed),
    };
    Ok(Parsed::Whole {
        length: end + 1,
        ends,
    })
}

fn named<'a, A>(mut words: impl Iterator<Item = &'a str>) -> Result<Ends, Malformed>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut word = || words.next().ok_or(Malformed);
    let address = |word: &str| word.parse::<A>().map(Into::into).map_err(|_| Malformed);
    let (client, server) = (address(word()?)?, address(word()?)?);
    let (client_port, server_port) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    Ok(Ends {
        client: SocketAddr::new(client, client_port),
        server: SocketAddr::new(server, server_port),
    })
}

/// Digits alone, without needless zeros.
fn port(word: &str) -> Result<u16, Malformed> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    match plain && (word == "0" || !word.starts_with('0')) {
        true => word.parse().map_err(|_| Malformed),
        false => Err(Malformed),
    }
}

fn binary(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let (Some(command), family) = (bytes.get(12).copied(), bytes.get(13).copied()) else {
        return Ok(Parsed::Partial);
    };
    // Version 2, and `LOCAL` or `PROXY`.
    if !matches!(command, 0x20 | 0x21) {
        return Err(Malformed);
    }
    let Some(family) = family else {
        return Ok(Parsed::Partial);
    };
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(Malformed);
    }
    let (Some(high), Some(low)) = (bytes.get(14).copied(), bytes.get(15).copied()) else {
        return Ok(Parsed::Partial);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Err(Malformed);
    }
    let Some(addresses) = bytes.get(FIXED..length) else {
        return Ok(Parsed::Partial);
    };
    let ends = match (command, family) {
        (0x21, 0x11) => Some(v4(addresses).ok_or(Malformed)?),
        (0x21, 0x21) => Some(v6(addresses).ok_or(Malformed)?),
        // `LOCAL`, and what is no TCP.
        _ => None,
    };
    Ok(Parsed::Whole { length, ends })
}

fn v4(bytes: &[u8]) -> Option<Ends> {
    let (client, rest) = bytes.split_first_chunk::<4>()?;
    let (server, rest) = rest.split_first_chunk::<4>()?;
    ends(Ipv4Addr::from(*client), Ipv4Addr::from(*server), rest)
}

fn v6(bytes: &[u8]) -> Option<Ends> {
    let (client, rest) = bytes.split_first_chunk::<16>()?;
    let (server, rest) = rest.split_first_chunk::<16>()?;
    ends(Ipv6Addr::from(*client), Ipv6Addr::from(*server), rest)
}

fn ends(client: impl Into<IpAddr>, server: impl Into<IpAddr>, ports: &[u8]) -> Option<Ends> {
    let (client_port, rest) = ports.split_first_chunk::<2>()?;
    let (server_port, _) = rest.split_first_chunk::<2>()?;
    Some(Ends {
        client: SocketAddr::new(client.into(), u16::from_be_bytes(*client_port)),
        server: SocketAddr::new(server.into(), u16::from_be_bytes(*server_port)),
    })
}

#[cfg(test)]
mod tests;
