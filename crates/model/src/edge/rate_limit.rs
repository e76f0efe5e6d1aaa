//! How many requests one client address may make.

use std::fmt;
use std::str::FromStr;

use super::{EdgeError, Name};

/// Most requests in one second, minute or hour.
const MAX_REQUESTS: u32 = 10_000;
/// Most requests at once.
const MAX_BURST: u32 = 100_000;
/// Seconds by their letter.
const UNITS: [(&str, u32); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// So many requests in so many seconds on the whole, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    requests: u32,
    seconds: u32,
    burst: u32,
}

impl RateLimit {
    /// `seconds` is 1, 60 or 3600; without a burst it is what may be made in that time.
    pub fn new(requests: u32, seconds: u32, burst: Option<u32>) -> Result<Self, EdgeError> {
        let limit = Self {
            requests,
            seconds,
            burst: burst.unwrap_or(requests),
        };
        let fits = (1..=MAX_REQUESTS).contains(&requests)
            && UNITS.iter().any(|(_, unit)| *unit == seconds)
            && (1..=MAX_BURST).contains(&limit.burst);
        match fits {
            true => Ok(limit),
            false => Err(Name::RateLimit.refuse(&format!("{requests} in {seconds} s"))),
        }
    }

    pub fn requests(self) -> u32 {
        self.requests
    }

    pub fn seconds(self) -> u32 {
        self.seconds
    }

    pub fn burst(self) -> u32 {
        self.burst
    }
}

/// `10/s`, `600/m`, `1000/h`; with how many may come at once, `10/s,burst=50`.
impl FromStr for RateLimit {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let refuse = || Name::RateLimit.refuse(text);
        let (rate, burst) = match text.split_once(',') {
            Some((rate, burst)) => {
                let burst = burst.trim().strip_prefix("burst=").ok_or_else(refuse)?;
                (rate, Some(number(burst).ok_or_else(refuse)?))
            }
            None => (text, None),
        };
        let (requests, unit) = rate.trim().split_once('/').ok_or_else(refuse)?;
        let requests = number(requests).ok_or_else(refuse)?;
        let unit = UNITS.iter().find(|(letter, _)| *letter == unit);
        let (_, seconds) = unit.ok_or_else(refuse)?;
        Self::new(requests, *seconds, burst).map_err(|_| refuse())
    }
}

/// Digits only.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, unit)| *unit == self.seconds);
        let letter = unit.map_or("s", |(letter, _)| letter);
        write!(f, "{}/{letter}", self.requests)?;
        match self.burst == self.requests {
            true => Ok(()),
            false => write!(f, ",burst={}", self.burst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_told() {
        for (text, numbers, told) in [
            ("10/s", (10, 1, 10), "10/s"),
            ("30/m", (30, 60, 30), "30/m"),
            ("100/h,burst=5", (100, 3600, 5), "100/h,burst=5"),
            ("10/s, burst=10", (10, 1, 10), "10/s"),
            (
                "10000/s,burst=100000",
                (10_000, 1, 100_000),
                "10000/s,burst=100000",
            ),
        ] {
            let limit: RateLimit = text.parse().unwrap();
            assert_eq!((limit.requests(), limit.seconds(), limit.burst()), numbers);
            assert_eq!(limit.to_string(), told);
            assert_eq!(told.parse(), Ok(limit));
        }
        for bad in [
            "",
            "10",
            "/s",
            "0/s",
            "10001/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "10/d",
            "10/s,5",
            "10/s,burst=0",
            "10/s,burst=100001",
            "10/s,burst=",
            "99999999999/s",
        ] {
            assert!(bad.parse::<RateLimit>().is_err(), "{bad}");
        }
        for (requests, seconds, burst) in [(0, 1, None), (1, 2, None), (1, 1, Some(0))] {
            assert!(RateLimit::new(requests, seconds, burst).is_err());
        }
    }
}
