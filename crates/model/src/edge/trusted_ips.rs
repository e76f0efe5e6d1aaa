//! From where an app is reached.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{EdgeError, Name};
use crate::egress::Cidr;

/// Most ranges of one app.
const MAX: usize = 100;

/// Ranges of addresses, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIps(Vec<Cidr>);

impl TrustedIps {
    pub fn ranges(&self) -> &[Cidr] {
        &self.0
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }
}

/// With commas between: `192.0.2.0/24,2001:db8::/32`.
impl FromStr for TrustedIps {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let refuse = |text: &str| Name::TrustedIps.refuse(text);
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let range = part.trim().parse().map_err(|_| refuse(part.trim()))?;
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        }
        match ranges.len() {
            1..=MAX => Ok(Self(ranges)),
            count => Err(refuse(&format!("{count} of them"))),
        }
    }
}

impl fmt::Display for TrustedIps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_a_list_and_nobody_else_is_in_them() {
        let text = "192.0.2.0/24, 2001:db8::/32,198.51.100.7 ,192.0.2.0/24";
        let trusted: TrustedIps = text.parse().unwrap();
        let told = trusted.to_string();
        assert_eq!(told, "192.0.2.0/24,2001:db8::/32,198.51.100.7");
        assert_eq!(told.parse(), Ok(trusted.clone()));
        for (address, is_in) in [
            ("192.0.2.200", true),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(trusted.contain(address), is_in, "{address}");
        }
        for bad in [
            "",
            ",",
            "192.0.2.0/24,",
            "192.0.2.0/33",
            "example.com",
            "192.0.2.0-9",
        ] {
            assert!(bad.parse::<TrustedIps>().is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=MAX).map(|n| format!("10.0.{}.0/24", n)).collect();
        assert!(many.join(",").parse::<TrustedIps>().is_err());
        assert!(many[1..].join(",").parse::<TrustedIps>().is_ok());
    }
}
