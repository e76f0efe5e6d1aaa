//! Which dyno a client came to before, by a cookie that it brings along.
//!
//! The cookie names a dyno by a digest of its random id. It says nothing about the dyno, and whoever makes one up does
//! no more than choose among the dynos that would answer anyway. Decides nothing: [`crate::table::App::pick`] does.

use http::header::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::request;

const NAME: &str = "heroku-session-affinity";
/// Characters of a value.
const LENGTH: usize = 32;
/// Cookies of the name that are looked at: one is ours, and another host of the domain may have set more.
const MOST: usize = 4;

/// The value that stands for a dyno.
pub(crate) fn value(dyno: &str) -> String {
    let digest = Sha256::digest(dyno.as_bytes());
    let mut value = String::with_capacity(LENGTH);
    for byte in digest.iter().take(LENGTH / 2) {
        for digit in [byte >> 4, byte & 0xf] {
            value.extend(char::from_digit(digit.into(), 16));
        }
    }
    value
}

/// The values that a request brings.
pub(crate) fn brought(headers: &HeaderMap) -> Vec<String> {
    request::cookies(headers, NAME)
        .filter(|value| value.len() == LENGTH)
        .take(MOST)
        .map(str::to_owned)
        .collect()
}

/// What the response says, so that the client brings `value`; for as long as its browser runs. `None` for what can
/// stand in no header.
pub(crate) fn cookie(value: &str, https: bool) -> Option<HeaderValue> {
    let secure = if https { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{NAME}={value}; Path=/; HttpOnly{secure}")).ok()
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    #[test]
    fn only_values_of_ours_are_taken() {
        let (one, two) = (value("one"), value("two"));
        assert!(one.len() == LENGTH && one != two);
        let mut headers = HeaderMap::new();
        for line in [
            format!("a=b; {NAME}={one};c=d"),
            format!("{NAME}x={two}; {NAME}=short; {NAME}"),
            format!("{NAME}={two}"),
        ] {
            headers.append(COOKIE, HeaderValue::try_from(line).unwrap());
        }
        headers.append(COOKIE, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(brought(&headers), [one.clone(), two]);
        for _ in 0..10 {
            headers.append(
                COOKIE,
                HeaderValue::try_from(format!("{NAME}={one}")).unwrap(),
            );
        }
        assert_eq!(brought(&headers).len(), MOST);
    }

    #[test]
    fn it_is_kept_from_scripts_and_from_plain_http() {
        let text = |https| cookie("v", https).unwrap().to_str().unwrap().to_owned();
        assert_eq!(text(false), "heroku-session-affinity=v; Path=/; HttpOnly");
        assert_eq!(
            text(true),
            "heroku-session-affinity=v; Path=/; HttpOnly; Secure"
        );
    }
}
