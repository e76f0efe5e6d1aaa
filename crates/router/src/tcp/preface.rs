//! What a dyno is told of a connection before the client's first byte: a PROXY header, version 1 or 2, where its route
//! asks for one. No IO.

use std::net::{IpAddr, SocketAddr};

use ropewalk_api_types::tcp_route::ProxyProtocol;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, of a connection that somebody made.
const PROXY: u8 = 0x21;
/// TCP over IPv4 and over IPv6.
const FAMILIES: [u8; 2] = [0x11, 0x21];

/// Names the client and where it connected to.
pub(super) fn header(version: ProxyProtocol, client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let (from, to) = of_one_family(client.ip(), server.ip());
    let (from_port, to_port) = (client.port(), server.port());
    match version {
        ProxyProtocol::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
        }
        ProxyProtocol::V2 => {
            let mut addresses = [bytes(from), bytes(to)].concat();
            addresses.extend(from_port.to_be_bytes());
            addresses.extend(to_port.to_be_bytes());
            let mut header = SIGNATURE.to_vec();
            header.push(PROXY);
            header.push(FAMILIES[usize::from(from.is_ipv6())]);
            // 12 or 36.
            header.extend([0, u8::try_from(addresses.len()).unwrap_or(u8::MAX)]);
            header.extend(addresses);
            header
        }
    }
}

/// A proxy in front may have named a client of the other family than that of its own connection.
fn of_one_family(client: IpAddr, server: IpAddr) -> (IpAddr, IpAddr) {
    match (client.to_canonical(), server.to_canonical()) {
        (IpAddr::V4(client), IpAddr::V6(server)) => (client.to_ipv6_mapped().into(), server.into()),
        (IpAddr::V6(client), IpAddr::V4(server)) => (client.into(), server.to_ipv6_mapped().into()),
        alike => alike,
    }
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::{Ends, Parsed, parse};

    #[test]
    fn whoever_reads_it_finds_both_ends() {
        for (client, server, seen) in [
            ("192.0.2.1:5", "192.0.2.9:20000", None),
            ("[2001:db8::1]:65535", "[2001:db8::2]:443", None),
            // Over a socket for both families.
            (
                "[::ffff:192.0.2.1]:5",
                "[::ffff:192.0.2.9]:20000",
                Some(("192.0.2.1:5", "192.0.2.9:20000")),
            ),
            (
                "192.0.2.1:0",
                "[2001:db8::2]:443",
                Some(("[::ffff:192.0.2.1]:0", "[2001:db8::2]:443")),
            ),
            (
                "[2001:db8::1]:0",
                "192.0.2.9:443",
                Some(("[2001:db8::1]:0", "[::ffff:192.0.2.9]:443")),
            ),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().unwrap();
            let (client, server) = (address(client), address(server));
            let ends = match seen {
                Some((client, server)) => (address(client), address(server)),
                None => (client, server),
            };
            for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
                let header = header(version, client, server);
                let parsed = parse(&header).unwrap();
                let ends = Ends {
                    client: ends.0,
                    server: ends.1,
                };
                let length = header.len();
                let whole = Parsed::Whole {
                    length,
                    ends: Some(ends),
                };
                assert_eq!(parsed, whole, "{version:?} {client} {server}");
            }
        }
        let client = "192.0.2.1:5".parse().unwrap();
        let line = header(ProxyProtocol::V1, client, client);
        assert_eq!(line, b"PROXY TCP4 192.0.2.1 192.0.2.1 5 5\r\n");
    }
}
