//! Raw TCP: where bytes come in that go to an app's dynos as they are, and what bounds that.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// Routes of one app.
pub const MOST_ROUTES: usize = 20;

/// Seconds for which a connection may be silent both ways, where the route says nothing else.
pub const IDLE_TIMEOUT: u32 = 3_600;
/// What a route may say: from ten seconds to a day.
pub const IDLE_TIMEOUTS: RangeInclusive<u32> = 10..=86_400;

/// Below are the ports that mean something, and take a privilege to listen on.
const LEAST_PORT: u16 = 1_024;
/// So many sockets one router hands over to the next, beside those for HTTP.
const MOST_PORTS: u16 = 200;

/// How dynos are told who the client is: a header before its first byte (the PROXY protocol's versions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyProtocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::V1, Self::V2]
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

/// The ports of the host that apps may have: `20000-20099`, or one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PortsError {
    #[error("{0:?} is no range of ports such as 20000-20099")]
    Text(String),
    #[error("ports below {LEAST_PORT} are not for apps")]
    Low,
    #[error("a range of ports has at most {MOST_PORTS} of them")]
    Wide,
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let fail = || PortsError::Text(text.chars().take(32).collect());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| fail());
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(fail());
        }
        if first < LEAST_PORT {
            return Err(PortsError::Low);
        }
        if last - first >= MOST_PORTS {
            return Err(PortsError::Wide);
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl Ports {
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// In order.
    pub fn all(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_bounded() {
        for text in ["20000-20099", "1024", "65535", "20000-20199"] {
            let ports: Ports = text.parse().unwrap();
            assert_eq!(ports.to_string(), text);
        }
        let ports: Ports = " 20000 - 20001 ".parse().unwrap();
        assert_eq!(ports.all().collect::<Vec<_>>(), [20_000, 20_001]);
        assert!(ports.contains(20_001) && !ports.contains(20_002));
        let read = |text: &str| text.parse::<Ports>();
        for text in ["", "-", "20000-", "2-1", "20000-70000", "a", "1-2-3"] {
            assert!(matches!(read(text), Err(PortsError::Text(_))), "{text:?}");
        }
        assert_eq!(read("80"), Err(PortsError::Low));
        assert_eq!(read("1000-2000"), Err(PortsError::Low));
        assert_eq!(read("20000-20200"), Err(PortsError::Wide));
    }
}
