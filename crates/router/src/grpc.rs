//! gRPC: its clients read the outcome of a call from trailers, and take nothing else for an answer.
//!
//! Knows which requests are calls and how an answer of the router's own is said to their clients. The messages are
//! nobody's affair here.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, Version};

use crate::code::Code;
use crate::relay::Answer;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A call: `application/grpc`, or one of its kin.
const KIND: &[u8] = b"application/grpc";

/// How a call ended, by gRPC's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Whether a request is a call. gRPC has HTTP/2, and HTTP/3 where client and server try it out.
pub(crate) fn is_call(parts: &Parts) -> bool {
    parts.version >= Version::HTTP_2
        && parts.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            kind.as_bytes()
                .split_at_checked(KIND.len())
                .is_some_and(|(start, _)| start.eq_ignore_ascii_case(KIND))
        })
}

/// What a code means to a client. Where the dyno had the call and did not end it, a client must not take it for
/// something that can be asked again without harm.
pub(crate) fn status_of(code: Code, status: u16) -> Status {
    match code {
        Code::H12 | Code::H15 | Code::H28 => Status::DeadlineExceeded,
        _ => status_of_http(status),
    }
}

/// What an HTTP status means to a client.
pub(crate) fn status_of_http(status: u16) -> Status {
    match status {
        401 => Status::Unauthenticated,
        403 => Status::PermissionDenied,
        404 | 405 | 501 => Status::Unimplemented,
        421 | 429 | 500.. => Status::Unavailable,
        _ => Status::Internal,
    }
}

/// Trailers without a body: the form in which a call is ended before it began.
pub(crate) fn end(status: Status, message: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::Page(None));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(status as u16));
    if let Ok(message) = HeaderValue::try_from(escape(message)) {
        headers.insert(MESSAGE, message);
    }
    response
}

/// Whether the dyno failed a call that it ended at once: unknown (what an exception becomes), internal, unavailable,
/// data loss.
pub(crate) fn is_failed(headers: &HeaderMap) -> bool {
    headers
        .get(STATUS)
        .is_some_and(|status| matches!(status.as_bytes(), b"2" | b"13" | b"14" | b"15"))
}

/// As gRPC wants its messages: percent-encoded but for printable ASCII.
fn escape(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_type() {
        for (kind, version, call) in [
            ("application/grpc", Version::HTTP_2, true),
            ("Application/gRPC+proto", Version::HTTP_2, true),
            ("application/grpc-web+proto", Version::HTTP_2, true),
            ("application/grpc", Version::HTTP_11, false),
            ("application/json", Version::HTTP_2, false),
            ("application/grp", Version::HTTP_2, false),
        ] {
            let request = http::Request::builder()
                .version(version)
                .header(CONTENT_TYPE, kind)
                .body(())
                .unwrap();
            assert_eq!(is_call(&request.into_parts().0), call, "{kind}");
        }
    }

    #[test]
    fn a_message_is_printable_ascii() {
        assert_eq!(escape("H12 Request timeout"), "H12 Request timeout");
        assert_eq!(escape("100 % ü\n"), "100 %25 %C3%BC%0A");
    }

    #[test]
    fn codes_have_a_status() {
        assert_eq!(status_of(Code::H12, 503), Status::DeadlineExceeded);
        assert_eq!(status_of(Code::H21, 503), Status::Unavailable);
        assert_eq!(status_of(Code::H26, 400), Status::Internal);
        assert_eq!(status_of_http(404), Status::Unimplemented);
        assert_eq!(status_of_http(421), Status::Unavailable);
    }
}
