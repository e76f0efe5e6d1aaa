//! Where fuzzing reaches how this crate reads headers and keys: panics when what must hold of every input does not.
//! Used by `tests/fuzz` alone.

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::resource::{certificate, public_key};
use crate::transport::auth::{Credentials, two_factor_code};
use crate::transport::range::{Attribute, Key, Wanted};

/// Items of the list that pages are taken of.
const ITEMS: u16 = 300;

/// A `Range` header: a page is a part of the list, in its order or backwards, and can be said in headers.
pub fn page(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut parts = Request::new(()).into_parts().0;
    parts.headers.insert(header::RANGE, value);
    let Some(Ok(wanted)) = Wanted::from_request_parts(&mut parts, &()).now_or_never() else {
        return;
    };
    let attributes: [Attribute<u16>; 3] = [
        ("name", |number| Key::Text(format!("app-{number}"))),
        ("version", |number| Key::Number(u64::from(*number))),
        ("created_at", |number| {
            Key::Time(Timestamp::from_second(i64::from(*number / 3)).unwrap_or_default())
        }),
    ];
    let Ok(page) = wanted.select((0..ITEMS).collect(), &attributes) else {
        return;
    };
    let mut seen: Vec<u16> = page.items.clone();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), page.items.len(), "an item twice");
    let items = page.items.clone();
    let _ = page.head.answer(&items);
}

/// Who a request says it is from.
pub fn credentials(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.insert(header::AUTHORIZATION, value.clone());
        headers.insert("heroku-two-factor-code", value);
    }
    if let Some(credentials) = Credentials::read(&headers) {
        assert!(credentials.secret.len() <= bytes.len());
    }
    let _ = two_factor_code(&headers);
}

/// A public key for git over SSH: what is kept is one line.
pub fn ssh_key(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(key) = public_key::parse(&text) {
        assert!(!key.text.contains(['\n', '\r', '\0']));
        assert!(key.fingerprint.starts_with("SHA256:"));
        let _ = public_key::md5(&key.text);
    }
}

/// A certificate's chain and key, behind a zero byte, in PEM.
pub fn certificates(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (chain, key) = text.split_once('\0').unwrap_or((&text, ""));
    let _ = certificate::check(chain, key);
    let _ = certificate::covers(chain, "app.test");
    let _ = certificate::wire(uuid::Uuid::nil(), chain, false, None);
}
