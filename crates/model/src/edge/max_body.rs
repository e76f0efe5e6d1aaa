//! How large a request may be.

use std::fmt;
use std::str::FromStr;

use super::{EdgeError, Name};

/// Most that can be asked for: a terabyte.
const MAX: u64 = 1_000_000_000_000;
/// Bytes by their unit, largest first of each kind.
const UNITS: [(&str, u64); 7] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Bytes of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxBody(u64);

impl MaxBody {
    pub fn new(bytes: u64) -> Result<Self, EdgeError> {
        match bytes <= MAX {
            true => Ok(Self(bytes)),
            false => Err(Name::MaxBody.refuse(&bytes.to_string())),
        }
    }

    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// `10MB`, `512KiB`, or bytes.
impl FromStr for MaxBody {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let refuse = || Name::MaxBody.refuse(text);
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text[digits.len()..].to_ascii_lowercase();
        let found = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&unit));
        let bytes = match (unit.as_str(), found) {
            ("", _) => 1,
            (_, Some((_, bytes))) => *bytes,
            (_, None) => return Err(refuse()),
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(refuse)?;
        number
            .checked_mul(bytes)
            .and_then(|bytes| Self::new(bytes).ok())
            .ok_or_else(refuse)
    }
}

impl fmt::Display for MaxBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, bytes): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*bytes);
        match UNITS.iter().find(fits) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => f.write_str("0B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_told_in_their_units() {
        for (text, bytes, told) in [
            ("10MB", 10_000_000, "10MB"),
            ("10mb", 10_000_000, "10MB"),
            ("1500KB", 1_500_000, "1500KB"),
            ("512KiB", 524_288, "512KiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1234", 1_234, "1234B"),
            ("0", 0, "0B"),
            ("1000GB", MAX, "1000GB"),
        ] {
            let size: MaxBody = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, told));
            assert_eq!(told.parse(), Ok(size));
        }
        for bad in [
            "",
            "MB",
            "-1",
            "1.5MB",
            "10 MB",
            "10XB",
            "1001GB",
            "99999999999999999999",
            "1é",
        ] {
            assert!(bad.parse::<MaxBody>().is_err(), "{bad}");
        }
    }
}
