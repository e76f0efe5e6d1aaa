//! For how long a browser keeps to HTTPS (RFC 6797).

use std::fmt;
use std::str::FromStr;

use super::{EdgeError, Name};

/// Seconds of a year; longer promises are those of ten at most.
const YEAR: u64 = 365 * DAY;
const DAY: u64 = 86_400;
const MAX: u64 = 10 * YEAR;

/// A number of seconds. None at all makes browsers forget what they were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts(u64);

impl Hsts {
    pub fn new(seconds: u64) -> Result<Self, EdgeError> {
        match seconds <= MAX {
            true => Ok(Self(seconds)),
            false => Err(Name::Hsts.refuse(&seconds.to_string())),
        }
    }

    pub fn seconds(self) -> u64 {
        self.0
    }
}

/// `1y`, `180d`, `12h`, `30m`, `90s`, or seconds.
impl FromStr for Hsts {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let refuse = || Name::Hsts.refuse(text);
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => DAY,
            "w" => 7 * DAY,
            "y" => YEAR,
            _ => return Err(refuse()),
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(refuse)?;
        number
            .checked_mul(unit)
            .and_then(|seconds| Self::new(seconds).ok())
            .ok_or_else(refuse)
    }
}

impl fmt::Display for Hsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            seconds if seconds % YEAR == 0 => write!(f, "{}y", seconds / YEAR),
            seconds if seconds % DAY == 0 => write!(f, "{}d", seconds / DAY),
            seconds if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_told_in_their_units() {
        for (text, seconds, told) in [
            ("1y", YEAR, "1y"),
            ("365d", YEAR, "1y"),
            ("2w", 14 * DAY, "14d"),
            ("12h", 43_200, "12h"),
            ("90m", 5_400, "5400s"),
            ("3600", 3_600, "1h"),
            ("0", 0, "0s"),
            ("10y", MAX, "10y"),
        ] {
            let hsts: Hsts = text.parse().unwrap();
            assert_eq!((hsts.seconds(), hsts.to_string().as_str()), (seconds, told));
            assert_eq!(hsts.to_string().parse(), Ok(hsts));
        }
        for bad in [
            "",
            "y",
            "-1",
            "+1",
            "1.5y",
            "1 y",
            "1Y",
            "11y",
            "99999999999999999999",
            "1é",
        ] {
            assert!(bad.parse::<Hsts>().is_err(), "{bad}");
        }
    }
}
