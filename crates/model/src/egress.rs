//! Which addresses the platform connects to because a user named them.
//!
//! The internet, and what the administrator lists; never the host, its networks or the cloud's metadata by
//! themselves. A name is judged by the addresses it leads to, at the time of connecting.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no range of addresses such as 10.0.0.0/8 or fd00::/8")]
pub struct CidrError(String);

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let fail = || CidrError(text.chars().take(64).collect());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| fail())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().map_err(|_| fail())?,
            None => most,
        };
        if bits > most {
            return Err(fail());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        match self.bits == most {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl Cidr {
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                u128::from(a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(self.bits))
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => match self.bits {
                0 => Some(0),
                bits => (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(bits)),
            },
            _ => None,
        };
        same == Some(0)
    }
}

/// What may be connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    listed: Vec<Cidr>,
}

impl Egress {
    /// The internet, and the ranges that the administrator lists.
    pub fn new(listed: Vec<Cidr>) -> Self {
        Self { listed }
    }

    /// Whether the administrator lists anything.
    pub fn lists_any(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Whether the administrator lists this address.
    pub fn lists(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.listed.iter().any(|range| range.contains(address))
    }

    /// Whether it may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        self.lists(address) || is_public(plain(address))
    }
}

/// An IPv4 address that is dressed as an IPv6 one, undressed.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Whether it belongs to the internet at large (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [([u8; 4], u32); 15] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        // Multicast, and what is reserved up to the broadcast address.
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    SPECIAL.iter().all(|(range, bits)| {
        let differs = address.to_bits() ^ u32::from_be_bytes(*range);
        differs >> (32 - bits) != 0
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is given out; out of it, protocols' own (with Teredo), 6to4 and the documentation's are not.
    (0x2000..0x4000).contains(&first)
        && !(first == 0x2001 && second < 0x0200)
        && !(first == 0x2001 && second == 0x0db8)
        && first != 0x2002
        && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_internet_is_reached_by_itself() {
        let egress = Egress::default();
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2600::1"] {
            assert!(egress.permits(ip(address)), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2001::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!egress.permits(ip(address)), "{address}");
        }
    }

    #[test]
    fn what_the_administrator_lists_is_reached_and_no_more() {
        let ranges = ["10.1.0.0/16", "::1", "192.168.7.9", "fd00::/8"];
        let egress = Egress::new(ranges.iter().map(|text| text.parse().unwrap()).collect());
        for address in [
            "10.1.255.1",
            "::1",
            "192.168.7.9",
            "fdff::1",
            "::ffff:10.1.0.1",
        ] {
            assert!(egress.permits(ip(address)), "{address}");
        }
        for address in ["10.2.0.1", "::2", "192.168.7.8", "127.0.0.1"] {
            assert!(!egress.permits(ip(address)), "{address}");
        }
        assert!(!egress.lists(ip("8.8.8.8")) && egress.permits(ip("8.8.8.8")));
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("127.0.0.1")) && !all.contains(ip("::1")));
        for (text, shown) in [("10.0.0.0/8", "10.0.0.0/8"), ("fd00::1", "fd00::1")] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), shown);
        }
        let all: Cidr = "::/0".parse().unwrap();
        assert!(all.contains(ip("::1")));
        for text in ["", "10.0.0.0/33", "::/129", "10/8", "a/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
