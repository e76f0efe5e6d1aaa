//! Whom a canary answers: a share of an app's clients, and those that bring a cookie.

use std::fmt;
use std::str::FromStr;

use super::{EdgeError, Name};

/// Longest name of a cookie.
const MAX_COOKIE: usize = 64;
/// Cookies that the router sets itself.
const OWN: [&str; 2] = ["ropewalk-canary", "heroku-session-affinity"];

/// A share of an app's clients, to a hundredth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(u16);

impl Weight {
    /// Parts of the whole.
    pub const WHOLE: u16 = 10_000;

    /// # Errors
    /// Less than nothing, more than all, or finer than a hundredth.
    pub fn from_percent(percent: f64) -> Result<Self, EdgeError> {
        let parts = percent * 100.0;
        let fits =
            (0.0..=f64::from(Self::WHOLE)).contains(&parts) && (parts - parts.round()).abs() < 1e-6;
        match fits {
            true => Ok(Self(parts.round() as u16)),
            false => Err(Name::CanaryWeight.refuse(&percent.to_string())),
        }
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Of [`Weight::WHOLE`].
    pub fn parts(self) -> u16 {
        self.0
    }
}

/// `5%`, `0.25%`; the sign may be left out.
impl FromStr for Weight {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let refuse = || Name::CanaryWeight.refuse(text);
        let number = text.trim().strip_suffix('%').unwrap_or(text).trim();
        // What a number may be besides digits: `1e3`, `inf`, `-1`.
        let plain = number.len() <= 8
            && number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent: Option<f64> = plain.then(|| number.parse().ok()).flatten();
        Self::from_percent(percent.ok_or_else(refuse)?).map_err(|_| refuse())
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

/// The name of a cookie that none of the router's has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookieName {
    type Err = EdgeError;

    fn from_str(text: &str) -> Result<Self, EdgeError> {
        let fits = (1..=MAX_COOKIE).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !OWN.contains(&text);
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(Name::CanaryCookie.refuse(text)),
        }
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_and_told() {
        for (text, parts, told) in [
            ("5%", 500, "5%"),
            ("0", 0, "0%"),
            ("100 %", 10_000, "100%"),
            ("0.25%", 25, "0.25%"),
            ("12.50%", 1_250, "12.5%"),
            ("33.33%", 3_333, "33.33%"),
            (".1%", 10, "0.1%"),
        ] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!((weight.parts(), weight.to_string().as_str()), (parts, told));
            assert_eq!(told.parse(), Ok(weight));
            assert_eq!(Weight::from_percent(weight.percent()), Ok(weight));
        }
        for bad in [
            "",
            "%",
            "-1%",
            "+1%",
            "100.01%",
            "101",
            "1e1",
            "inf",
            "NaN",
            "0.001%",
            "5%%",
            "1/2",
            "5 percent",
        ] {
            assert!(bad.parse::<Weight>().is_err(), "{bad}");
        }
        for bad in [-0.01, 100.01, f64::NAN, f64::INFINITY, 0.005] {
            assert!(Weight::from_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_share_is_told_and_read_again() {
        for parts in 0..=Weight::WHOLE {
            let weight = Weight(parts);
            assert_eq!(weight.to_string().parse(), Ok(weight));
            assert_eq!(Weight::from_percent(weight.percent()), Ok(weight));
        }
    }

    #[test]
    fn cookies_have_plain_names_of_their_own() {
        for good in ["beta", "__Host-canary", "x_1"] {
            assert_eq!(good.parse::<CookieName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a=b", "a;b", "ropewalk-canary", "é"] {
            assert!(bad.parse::<CookieName>().is_err(), "{bad}");
        }
        assert!("x".repeat(MAX_COOKIE + 1).parse::<CookieName>().is_err());
    }
}
