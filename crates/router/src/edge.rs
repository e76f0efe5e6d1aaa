//! What an app asks of a request before it goes on to a dyno: pass, or be answered here.
//!
//! [`decide`] is a function of the request, the policy and the time. It believes what our own listener saw and no header
//! that says otherwise. Sends nothing and counts nothing.

mod buckets;

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use ropewalk_api_types::router::{Canary, EdgePolicy};
use ropewalk_model::edge::BasicAuth;
use ropewalk_model::egress::Cidr;

pub(crate) use buckets::{Buckets, Rate};

use crate::access::Subject;
use crate::challenge;
use crate::headers::take_out;
use crate::request::Peer;

/// How a browser is told to ask for a user and a password (RFC 7617, 2).
const ASK: &str = "Basic realm=\"This application\", charset=\"UTF-8\"";

/// Longest header that can hold a user and a password, in bytes.
const MAX_AUTHORIZATION: usize = 512;

/// An app's policy, ready for use.
#[derive(Debug)]
pub(crate) struct Policy {
    pause: bool,
    https_redirect: bool,
    hsts: Option<HeaderValue>,
    trusted: Option<Box<[Cidr]>>,
    auth: Option<Auth>,
    rate: Option<Rate>,
    max_body: Option<u64>,
    canary: Option<Canary>,
}

/// Who comes in.
#[derive(Debug)]
enum Auth {
    By(BasicAuth),
    /// Not understood, so nobody.
    Nobody,
}

/// What of a policy kept a request from its dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    TrustedIps,
    HttpsRedirect,
    RateLimit,
    BasicAuth,
    MaxBody,
    /// Of an app that wakes.
    WaitingPage,
}

/// Where this router speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpsAt {
    /// If anybody does, it is who stands before it: where that leads is not known.
    Nowhere,
    /// On the ports where it speaks HTTP, too.
    SamePort,
    Port(u16),
}

/// What is known of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a PathAndQuery,
    /// Lower case, without the port.
    pub(crate) host: &'a str,
    /// That the client named behind the host.
    pub(crate) port: Option<u16>,
    /// Who connected.
    pub(crate) ip: IpAddr,
    /// It came over TLS.
    pub(crate) https: bool,
    pub(crate) https_at: HttpsAt,
    /// The header of this name.
    pub(crate) authorization: Option<&'a [u8]>,
    /// Bytes of the body, if the client said so beforehand.
    pub(crate) length: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Pass,
    Answer(Reply),
}

/// What is answered instead of a dyno.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) gate: Gate,
    pub(crate) status: u16,
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// To a body that is, or turned out to be, too large.
    pub(crate) const TOO_LARGE: Reply = Reply {
        gate: Gate::MaxBody,
        status: 413,
        header: None,
    };
}

impl Gate {
    /// Every gate, in the order in which a request meets them.
    pub(crate) const ALL: [Gate; 6] = [
        Gate::TrustedIps,
        Gate::HttpsRedirect,
        Gate::RateLimit,
        Gate::BasicAuth,
        Gate::MaxBody,
        Gate::WaitingPage,
    ];

    /// By which people set it, and find it in log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Gate::TrustedIps => "trusted-ips",
            Gate::HttpsRedirect => "https-redirect",
            Gate::RateLimit => "rate-limit",
            Gate::BasicAuth => "basic-auth",
            Gate::MaxBody => "max-body",
            Gate::WaitingPage => "waiting-page",
        }
    }

    /// The `desc` of the log line.
    pub(crate) fn desc(self) -> &'static str {
        match self {
            Gate::TrustedIps => "Address not trusted",
            Gate::HttpsRedirect => "Sent to HTTPS",
            Gate::RateLimit => "Too many requests from this address",
            Gate::BasicAuth => "User and password asked for",
            Gate::MaxBody => "Request too large",
            Gate::WaitingPage => "The app wakes",
        }
    }

    /// The `at` of the log line.
    pub(crate) fn at(self) -> &'static str {
        match self {
            Gate::HttpsRedirect | Gate::BasicAuth | Gate::WaitingPage => "info",
            Gate::TrustedIps | Gate::RateLimit | Gate::MaxBody => "warning",
        }
    }

    /// Title and text of the page.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Gate::TrustedIps => (
                "Not from your address",
                "This application answers certain addresses only, and yours is none of them. If it is yours: \
                 ropewalk edge.",
            ),
            Gate::HttpsRedirect => (
                "This address has moved to HTTPS",
                "Your browser should have taken you there. If not, put https:// in front of the address.",
            ),
            Gate::RateLimit => (
                "Too many requests",
                "Your address has sent more requests than this application takes. Wait a moment, and try again.",
            ),
            Gate::BasicAuth => (
                "Who are you?",
                "This application asks for a user and a password.",
            ),
            Gate::MaxBody => (
                "Too large",
                "What was sent is larger than this application takes.",
            ),
            Gate::WaitingPage => (
                "Waking up",
                "Nobody has asked for this application for a while, so it was asleep. This page asks again by itself.",
            ),
        }
    }
}

impl Policy {
    /// From what the server sent.
    pub(crate) fn compile(wire: &EdgePolicy) -> Policy {
        let hsts = wire
            .hsts
            .and_then(|seconds| HeaderValue::try_from(format!("max-age={seconds}")).ok());
        // What is no range trusts nobody, rather than everybody.
        let ranges = wire.trusted_ips.iter();
        let ranges = ranges.filter_map(|text| text.parse().ok());
        Policy {
            pause: wire.pause,
            https_redirect: wire.https_redirect,
            hsts,
            trusted: (!wire.trusted_ips.is_empty()).then(|| ranges.collect()),
            auth: wire
                .basic_auth
                .as_ref()
                .map(|kept| BasicAuth::restore(&kept.0).map_or(Auth::Nobody, Auth::By)),
            rate: wire.rate_limit.map(|limit| Rate {
                interval: (u64::from(limit.seconds) * 1_000_000 / u64::from(limit.requests.max(1)))
                    .max(1),
                burst: u64::from(limit.burst.max(1)),
            }),
            max_body: wire.max_body,
            canary: wire.canary.clone(),
        }
    }

    /// Whether requests wait until the app says otherwise.
    pub(crate) fn is_paused(&self) -> bool {
        self.pause
    }

    /// What a body that is sent without its length may have, in bytes.
    pub(crate) fn max_body(&self) -> Option<u64> {
        self.max_body
    }

    /// Whose dynos answer some of the requests.
    pub(crate) fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    /// Takes out of a request that passed what was meant for the edge alone.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        if self.auth.is_some() {
            take_out(headers, |name| *name == header::AUTHORIZATION);
        }
    }

    /// What answers to this client say of HTTPS; over plain HTTP nothing may be said (RFC 6797, 7.2).
    pub(crate) fn hsts(&self, https: bool) -> Option<HeaderValue> {
        self.hsts.clone().filter(|_| https)
    }
}

/// Puts it on an answer, unless the app says something of its own.
pub(crate) fn keep_to_https<B>(response: &mut Response<B>, hsts: Option<HeaderValue>) {
    if let Some(value) = hsts {
        response
            .headers_mut()
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert(value);
    }
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        parts: &'a Parts,
        subject: &'a Subject,
        peer: &Peer,
        https_at: HttpsAt,
        length: Option<u64>,
    ) -> Facts<'a> {
        let port = match parts.uri.authority() {
            Some(authority) => authority.port_u16(),
            None => named_port(&parts.headers),
        };
        Facts {
            method: &subject.method,
            path: &subject.path,
            host: &subject.host,
            port,
            ip: peer.ip,
            https: peer.https,
            https_at,
            authorization: parts
                .headers
                .get(header::AUTHORIZATION)
                .map(HeaderValue::as_bytes),
            length,
        }
    }
}

fn named_port(headers: &HeaderMap) -> Option<u16> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    host.rsplit_once(':')?.1.parse().ok()
}

/// Whether a request goes on. `spend` takes it off what its address may do, or says how long that has to wait; it is
/// asked only of requests that came so far.
pub(crate) fn decide(
    facts: &Facts<'_>,
    policy: &Policy,
    spend: impl FnOnce(Rate) -> Result<(), Duration>,
) -> Decision {
    if let Some(trusted) = &policy.trusted
        && !trusted.iter().any(|range| range.contains(facts.ip))
    {
        return Decision::Answer(Reply {
            gate: Gate::TrustedIps,
            status: StatusCode::FORBIDDEN.as_u16(),
            header: None,
        });
    }
    if policy.https_redirect
        && let Some(reply) = to_https(facts)
    {
        return Decision::Answer(reply);
    }
    if let Some(rate) = policy.rate
        && let Err(wait) = spend(rate)
    {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        return Decision::Answer(Reply {
            gate: Gate::RateLimit,
            status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
            header: Some((header::RETRY_AFTER, HeaderValue::from(seconds))),
        });
    }
    if let Some(auth) = &policy.auth
        && !admits(auth, facts.authorization)
    {
        let scheme = HeaderValue::from_static(ASK);
        return Decision::Answer(Reply {
            gate: Gate::BasicAuth,
            status: StatusCode::UNAUTHORIZED.as_u16(),
            header: Some((header::WWW_AUTHENTICATE, scheme)),
        });
    }
    let most = policy.max_body.unwrap_or(u64::MAX);
    if facts.length.is_some_and(|length| length > most) {
        return Decision::Answer(Reply::TOO_LARGE);
    }
    Decision::Pass
}

fn admits(auth: &Auth, header: Option<&[u8]>) -> bool {
    let (Auth::By(auth), Some(header)) = (auth, header) else {
        return false;
    };
    let Some((scheme, encoded)) = header.split_at_checked(6) else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case(b"basic ") || encoded.len() > MAX_AUTHORIZATION {
        return false;
    }
    BASE64_STANDARD
        .decode(encoded.trim_ascii())
        .is_ok_and(|credentials| auth.admits(&credentials))
}

fn to_https(facts: &Facts<'_>) -> Option<Reply> {
    if facts.https || facts.path.path().starts_with(challenge::FOLDER) {
        return None;
    }
    let port = match facts.https_at {
        HttpsAt::Nowhere => return None,
        HttpsAt::SamePort => facts.port.filter(|port| *port != 443),
        HttpsAt::Port(port) => Some(port).filter(|port| *port != 443),
    };
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let path = match facts.path.as_str() {
        path if path.starts_with('/') => path,
        // `OPTIONS *`
        _ => "/",
    };
    let target = format!("https://{}{port}{path}", facts.host);
    // A client repeats a 301 as a GET, which would lose a body.
    let status = match *facts.method {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    Some(Reply {
        gate: Gate::HttpsRedirect,
        status: status.as_u16(),
        header: Some((header::LOCATION, HeaderValue::try_from(target).ok()?)),
    })
}

#[cfg(test)]
mod tests;
