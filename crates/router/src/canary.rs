//! Which of two apps answers a request: the one that its host belongs to, or its canary.
//!
//! [`draw`] is a function of the policy and the request. A client is one of ten thousand lots: the one that its cookie
//! names, else the one that its address has. A canary of five percent answers the first five hundred. So a client stays
//! where it is, whichever router it meets and whether or not it keeps cookies; and a larger share moves clients to the
//! canary and none away from it. Cookie and `X-Forwarded-For` are the client's own words: whoever makes them up does no
//! more than choose between two apps that would answer anyway. Sends nothing, and does not know whether the canary can
//! answer.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderValue};
use ropewalk_api_types::router::Canary;
use sha2::{Digest, Sha256};

use crate::request;

/// Of the cookie that keeps a client's lot.
const NAME: &str = "ropewalk-canary";
/// How many lots there are.
const LOTS: u16 = 10_000;

/// Whose dynos answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Own,
    Canary,
}

/// What was drawn for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    pub(crate) side: Side,
    /// The lot that the client is to keep, where it brought none and it matters.
    keep: Option<u16>,
}

impl Draw {
    /// Where there is no canary.
    pub(crate) const OWN: Draw = Draw {
        side: Side::Own,
        keep: None,
    };

    /// What the response says, so that the client keeps its lot; for as long as its browser runs.
    pub(crate) fn cookie(self, https: bool) -> Option<HeaderValue> {
        let lot = self.keep?;
        let secure = if https { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{NAME}={lot}; Path=/; HttpOnly{secure}")).ok()
    }
}

/// `app` is the host's, by its id; `fwd` the addresses of `X-Forwarded-For` with the peer's behind them.
pub(crate) fn draw(canary: &Canary, app: &str, headers: &HeaderMap, fwd: &str) -> Draw {
    if let Some(side) = asked(canary, headers) {
        return Draw { side, keep: None };
    }
    let of = |lot| match lot < canary.weight {
        true => Side::Canary,
        false => Side::Own,
    };
    // All or nobody: there is nothing to remember.
    if canary.weight == 0 || canary.weight >= LOTS {
        return Draw {
            side: of(0),
            keep: None,
        };
    }
    match request::cookies(headers, NAME).find_map(brought) {
        Some(lot) => Draw {
            side: of(lot),
            keep: None,
        },
        None => {
            let lot = lot(app, fwd);
            Draw {
                side: of(lot),
                keep: Some(lot),
            }
        }
    }
}

/// What the client asks for by the cookie of the policy.
fn asked(canary: &Canary, headers: &HeaderMap) -> Option<Side> {
    let name = canary.cookie.as_deref()?;
    request::cookies(headers, name).find_map(|value| match value {
        "always" => Some(Side::Canary),
        "never" => Some(Side::Own),
        _ => None,
    })
}

fn brought(value: &str) -> Option<u16> {
    let plain = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|lot| plain && *lot < LOTS)
}

/// Of a client that keeps no cookie: by the address that it is said to have, since all that come by one proxy share the
/// peer's; of IPv6 by the network of 64 bits that one client has. Another for each app, so that nobody is always first.
fn lot(app: &str, fwd: &str) -> u16 {
    let client = fwd.split(',').next().unwrap_or(fwd);
    let mut digest = Sha256::new();
    digest.update(app.as_bytes());
    match client.parse() {
        Ok(IpAddr::V4(ip)) => digest.update(ip.octets()),
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => digest.update(ip.octets()),
            None => digest.update(&ip.octets()[..8]),
        },
        Err(_) => digest.update(client.as_bytes()),
    }
    let digest = digest.finalize();
    let number = digest
        .iter()
        .take(8)
        .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    u16::try_from(number % u64::from(LOTS)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
