//! The head of a request on its way through: what is read from it, taken out and put in.
//!
//! Decides nothing about where the request goes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use http_body::Body;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

use crate::access::Subject;
use crate::code::Code;
use crate::headers::take_out;
use crate::stall;

/// The client's connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// The port the client connected to.
    pub(crate) port: u16,
    pub(crate) https: bool,
    /// The host that it named for TLS.
    pub(crate) server_name: Option<Box<str>>,
    /// How long it may read nothing.
    pub(crate) stall: Arc<stall::Limit>,
}

/// Why a head is refused: with which status, and the `cause` of its H26.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) cause: &'static str,
}

impl Refusal {
    pub(crate) const CODE: Code = Code::H26;

    const BAD_HOST: Refusal = Refusal {
        status: 400,
        cause: "bad host",
    };
    const BAD_HEADER: Refusal = Refusal {
        status: 400,
        cause: "bad header",
    };
    const EXPECT: Refusal = Refusal {
        status: 417,
        cause: "unsupported expect header value",
    };
    const METHOD: Refusal = Refusal {
        status: 405,
        cause: "unsupported method",
    };
    const PROTOCOL: Refusal = Refusal {
        status: 501,
        cause: "unsupported protocol",
    };
    pub(crate) const MISDIRECTED: Refusal = Refusal {
        status: 421,
        cause: "misdirected request",
    };
    const TARGET: Refusal = Refusal {
        status: 414,
        cause: "request line too long",
    };
}

/// Who identifies us in `Via`.
pub(crate) const VIA: HeaderValue = HeaderValue::from_static("1.1 ropewalk");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that concern one connection only, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that say how a message is framed, whom it is for or where it came from: ours to set.
const OURS: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_PORT,
    X_REQUEST_START,
    X_REQUEST_ID,
];

/// The host a request is for, lower case, without port and trailing dot.
pub(crate) fn host(parts: &Parts) -> Result<String, Refusal> {
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => {
            let mut values = parts.headers.get_all(header::HOST).iter();
            let value = values.next().ok_or(Refusal::BAD_HOST)?;
            if values.next().is_some() {
                return Err(Refusal::BAD_HOST);
            }
            value.to_str().map_err(|_| Refusal::BAD_HOST)?
        }
    };
    host_of(authority)
}

/// The host of an authority.
pub(crate) fn host_of(authority: &str) -> Result<String, Refusal> {
    if authority.contains(['@', '/', ' ', '"', '\\', '?', '#']) {
        return Err(Refusal::BAD_HOST);
    }
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(Refusal::BAD_HOST);
    }
    Ok(name.to_ascii_lowercase())
}

/// Whether a head may be passed on at all.
pub(crate) fn check(parts: &Parts, request_line: usize) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(match parts.extensions.get::<Protocol>() {
            Some(_) => Refusal::PROTOCOL,
            None => Refusal::METHOD,
        });
    }
    // An authority without a path is what CONNECT alone asks for (RFC 9112, 3.2.3): who takes it from another method reads
    // it in a way of their own.
    if parts.uri.authority().is_some() && parts.uri.scheme().is_none() {
        return Err(Refusal::BAD_HOST);
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    // Two spaces, `HTTP/1.1` and the line's end.
    if parts.method.as_str().len() + target + 12 > request_line {
        return Err(Refusal::TARGET);
    }
    if let Some(expect) = parts.headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Refusal::EXPECT);
    }
    for coding in parts.headers.get_all(header::TRANSFER_ENCODING) {
        // Any other coding would reach the app undeclared, since the header is ours to set.
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::BAD_HEADER);
        }
    }
    Ok(())
}

/// What the record of a request needs of its head.
pub(crate) fn subject(parts: &Parts, peer: &Peer, host: String) -> Subject {
    Subject {
        method: parts.method.clone(),
        path: parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/")),
        host,
        request_id: request_id(parts.headers.get(X_REQUEST_ID).map(HeaderValue::as_bytes)),
        forwarded_for: forwarded_for(
            parts
                .headers
                .get_all(X_FORWARDED_FOR)
                .iter()
                .map(HeaderValue::as_bytes),
            peer.ip,
        ),
        https: peer.https,
    }
}

/// The values of the cookies of a name.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(move |cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Whether the client asks to speak another protocol on this connection.
pub(crate) fn wants_upgrade(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.headers.contains_key(header::UPGRADE)
        && connection_tokens(&parts.headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Whether it does no harm to send a request twice, as far as its method says.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Makes the head the one that the dyno gets.
pub(crate) fn rewrite(parts: &mut Parts, subject: &Subject, peer: &Peer, upgrade: bool) {
    let asked = upgrade
        .then(|| parts.headers.get(header::UPGRADE).cloned())
        .flatten();
    if let Some(authority) = parts.uri.authority()
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, value);
    }
    let headers = &mut parts.headers;
    // Once for all that is put in below.
    headers.reserve(8);
    let named = named(headers);
    take_out(headers, |name| match *name {
        header::HOST => false,
        header::EXPECT => true,
        header::CONNECTION | header::UPGRADE if asked.is_some() => false,
        _ => is_hop_by_hop(name, &named) || is_disguised(name),
    });
    if let Some(protocol) = asked {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    if parts.version >= Version::HTTP_2 {
        join_cookies(headers);
    }
    headers.insert(X_FORWARDED_FOR, subject.forwarded_for.clone());
    let proto = if peer.https { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(peer.port));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    headers.insert(X_REQUEST_START, HeaderValue::from(now));
    headers.insert(X_REQUEST_ID, subject.request_id.clone());
    headers.append(header::VIA, VIA);

    parts.uri = Uri::from(subject.path.clone());
    parts.version = Version::HTTP_11;
    // Left by the server side for itself. The names of headers as they came stay: they are for the client side.
    parts.extensions.remove::<OnUpgrade>();
    parts.extensions.remove::<Protocol>();
}

/// Whether the client takes trailers.
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Gives a rewritten request the form in which HTTP/2 is asked; one that has it stays as it is.
pub(crate) fn to_http2<B>(request: &mut Request<B>, trailers: bool) -> Result<(), Refusal> {
    if request.version() == Version::HTTP_2 {
        return Ok(());
    }
    let host = request.headers().get(header::HOST).cloned();
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Refusal::BAD_HOST)?;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    take_out(headers, |name| {
        matches!(*name, header::HOST | header::TRANSFER_ENCODING)
    });
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

/// Takes that form back.
pub(crate) fn to_http1<B: Body>(request: &mut Request<B>) {
    if request.version() != Version::HTTP_2 {
        return;
    }
    let host = request
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    take_out(request.headers_mut(), |name| *name == header::TE);
    chunk(request);
}

/// Says that a body of unknown length is chunked: left to itself, hyper sends a GET or HEAD without it.
pub(crate) fn chunk<B: Body>(request: &mut Request<B>) {
    if request.body().size_hint().exact().is_none() {
        let chunked = HeaderValue::from_static("chunked");
        request
            .headers_mut()
            .insert(header::TRANSFER_ENCODING, chunked);
    }
}

/// Takes out what concerned the connection it came over, without `but` and with `and`.
pub(crate) fn strip_hop_by_hop(
    headers: &mut HeaderMap,
    but: &[HeaderName],
    and: Option<&HeaderName>,
) {
    let named = named(headers);
    take_out(headers, |name| {
        and == Some(name) || (is_hop_by_hop(name, &named) && !but.contains(name))
    });
}

/// Whether a header concerns one connection only, by itself or because `Connection` names it.
fn is_hop_by_hop(name: &HeaderName, named: &[HeaderName]) -> bool {
    HOP_BY_HOP.contains(name) || named.contains(name)
}

/// The headers that `Connection` names, but for what is no header there.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let words = ["close", "keep-alive", "upgrade"];
    if !headers.contains_key(header::CONNECTION) {
        return Vec::new();
    }
    connection_tokens(headers)
        .filter(|token| !words.iter().any(|word| token.eq_ignore_ascii_case(word)))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect()
}

/// Whether it is `Content_Length`, `X_Forwarded_For` or their like: to apps behind CGI, WSGI or Rack they have the same
/// name as the real ones, which a client could so overrule.
fn is_disguised(name: &HeaderName) -> bool {
    let same = |(own, theirs): (u8, u8)| own == theirs || (own == b'-' && theirs == b'_');
    let name = name.as_str();
    name.contains('_')
        && OURS.iter().any(|ours| {
            let ours = ours.as_str();
            ours.len() == name.len() && ours.bytes().zip(name.bytes()).all(same)
        })
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// The client's id when it is 20 to 200 characters of `[A-Za-z0-9+/=-]`, else one of our own.
pub(crate) fn request_id(given: Option<&[u8]>) -> HeaderValue {
    let given = given.filter(|value| {
        (20..=200).contains(&value.len())
            && value.iter().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-')
            })
    });
    if let Some(given) = given.and_then(|given| HeaderValue::from_bytes(given).ok()) {
        return given;
    }
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or(
        HeaderValue::from_static("00000000-0000-4000-8000-000000000000"),
    )
}

/// The addresses that came, and the client's own behind them.
pub(crate) fn forwarded_for<'a>(
    came: impl Iterator<Item = &'a [u8]>,
    client: IpAddr,
) -> HeaderValue {
    let mut text = Vec::with_capacity(ADDRESS);
    for value in came {
        for address in visible(value).unwrap_or_default().split(',') {
            let address = address.trim();
            if !address.is_empty() {
                text.extend_from_slice(address.as_bytes());
                text.extend_from_slice(b", ");
            }
        }
    }
    write_address(&mut text, client);
    // What was a value, and an address, is a value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// A header's value as text, if it is nothing but visible ASCII.
pub(crate) fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    let visible = value.iter().all(is_visible);
    visible.then(|| std::str::from_utf8(value).ok()).flatten()
}

/// Longest text of an address, in bytes.
const ADDRESS: usize = 45;

/// Appends the text of an address. Nearly all are of IPv4, and `Display` takes its time with them.
fn write_address(text: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        text.extend_from_slice(address.to_string().as_bytes());
        return;
    };
    for (index, byte) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        if byte >= 100 {
            text.push(b'0' + byte / 100);
        }
        if byte >= 10 {
            text.push(b'0' + byte / 10 % 10);
        }
        text.push(b'0' + byte % 10);
    }
}

/// HTTP/2 and 3 let a client split its cookies over several headers; HTTP/1.1 knows one.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut joined = Vec::new();
    for crumb in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, value);
    }
}

#[cfg(test)]
mod tests;
