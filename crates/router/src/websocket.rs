//! WebSockets over HTTP/2: an extended CONNECT (RFC 8441) becomes the upgrade that dynos know.
//!
//! HTTP/2 has no key and no 101. Towards the dyno the key is ours, and so is the check of the answer to it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

const WEBSOCKET: &str = "websocket";

/// What RFC 6455, 1.3 hashes a key with.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client that asks to switch protocols brings.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) client: OnUpgrade,
    /// Of a client that speaks HTTP/2.
    pub(crate) handshake: Option<Handshake>,
}

/// The router's own half of the handshake with a dyno.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    key: String,
}

/// Makes an extended CONNECT for a WebSocket the request that an HTTP/1.1 client sends for one; leaves every other
/// request as it is.
pub(crate) fn translate(parts: &mut Parts) -> Option<Handshake> {
    if parts.method != Method::CONNECT {
        return None;
    }
    let protocol = parts.extensions.get::<Protocol>()?;
    if !protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) {
        return None;
    }
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let value = HeaderValue::from_str(&key).ok()?;
    parts.method = Method::GET;
    let headers = &mut parts.headers;
    headers.insert(SEC_WEBSOCKET_KEY, value);
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    Some(Handshake { key })
}

impl Handshake {
    /// What is wrong with a dyno's answer. What refuses the WebSocket in plain words is not wrong.
    pub(crate) fn breach<B>(&self, response: &Response<B>) -> Option<&'static str> {
        let headers = response.headers();
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS if !self.is_answered(headers) => {
                Some("bad websocket handshake")
            }
            // Over HTTP/2 it would say that the WebSocket is open.
            status if status.is_success() => Some("no websocket here"),
            _ => None,
        }
    }

    fn is_answered(&self, headers: &HeaderMap) -> bool {
        let hash = digest(
            &SHA1_FOR_LEGACY_USE_ONLY,
            [&self.key, GUID].concat().as_bytes(),
        );
        let accept = STANDARD.encode(hash);
        let is = |name, expected: &str, exact: bool| {
            let value = headers.get(name).map(HeaderValue::as_bytes);
            value.is_some_and(|value| match exact {
                true => value == expected.as_bytes(),
                false => value.eq_ignore_ascii_case(expected.as_bytes()),
            })
        };
        is(SEC_WEBSOCKET_ACCEPT, &accept, true) && is(UPGRADE, WEBSOCKET, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: Method, protocol: Option<&'static str>) -> Parts {
        let mut request = http::Request::new(());
        *request.method_mut() = method;
        if let Some(protocol) = protocol {
            let protocol = Protocol::from_static(protocol);
            request.extensions_mut().insert(protocol);
        }
        request.into_parts().0
    }

    #[test]
    fn only_websockets_are_translated() {
        for (method, protocol) in [
            (Method::CONNECT, None),
            (Method::CONNECT, Some("connect-udp")),
            (Method::GET, Some("websocket")),
        ] {
            let mut head = parts(method.clone(), protocol);
            assert_eq!(translate(&mut head), None);
            assert_eq!(head.method, method);
        }
        let mut head = parts(Method::CONNECT, Some("websocket"));
        let handshake = translate(&mut head).unwrap();
        assert_eq!(head.method, Method::GET);
        assert_eq!(head.headers[UPGRADE], "websocket");
        assert_eq!(
            head.headers[SEC_WEBSOCKET_KEY],
            handshake.key.as_str(),
            "the dyno is asked by the key that its answer is held to"
        );
        let mut other = parts(Method::CONNECT, Some("websocket"));
        assert_ne!(translate(&mut other), Some(handshake));
    }

    #[test]
    fn an_answer_is_held_to_the_key() {
        // The example of RFC 6455, 1.3.
        let handshake = Handshake {
            key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        };
        let answer = |status: u16, accept: &str, protocol: &str| {
            Response::builder()
                .status(status)
                .header(SEC_WEBSOCKET_ACCEPT, accept)
                .header(UPGRADE, protocol)
                .body(())
                .unwrap()
        };
        let right = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let breach = |status, accept, protocol| handshake.breach(&answer(status, accept, protocol));
        assert_eq!(breach(101, right, "WebSocket"), None);
        assert_eq!(breach(404, "", ""), None);
        assert_eq!(breach(503, "", ""), None);
        let bad = Some("bad websocket handshake");
        assert_eq!(breach(101, right, "h2c"), bad);
        assert_eq!(
            breach(101, "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "websocket"),
            bad
        );
        assert_eq!(breach(200, right, "websocket"), Some("no websocket here"));
    }
}
