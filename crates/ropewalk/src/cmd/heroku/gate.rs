//! Who may ask the helper, and whom it may be asked for. Pure: it decides, and answers nobody.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use sha2::{Digest, Sha256};

/// The only foreign name that the helper answers for: autoscaling is asked of it, and is ours to answer.
const METRICS: &str = "api.metrics.heroku.com";

/// Where a request is meant to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// To this helper, and so to our server.
    Ours,
    /// To a host of Heroku's that the CLI has written into it, on our own port and in plain HTTP, for it takes port
    /// and scheme from its API's address. What it says is heard and refused here, in words.
    Pretended,
    /// Anywhere else.
    Foreign,
}

/// The rules of one helper.
pub(super) struct Gate {
    port: u16,
    /// Of the token: compared instead of it, so that the time it takes says nothing.
    digest: [u8; 32],
}

impl Gate {
    pub(super) fn new(port: u16, token: &str) -> Self {
        Self {
            port,
            digest: digest(token),
        }
    }

    /// What `authority` (of a CONNECT, or of an address in full) is to us.
    pub(super) fn destination(&self, authority: &Authority) -> Destination {
        let ours = [METRICS, "localhost", "127.0.0.1"]
            .iter()
            .any(|name| authority.host().eq_ignore_ascii_case(name));
        match (authority.port_u16() == Some(self.port), ours) {
            (true, true) => Destination::Ours,
            (true, false) => Destination::Pretended,
            (false, _) => Destination::Foreign,
        }
    }

    /// Whether the request may go on. Others on this machine reach the port too, so it must carry our token; or ask
    /// for an address that authorises by itself, or for the public list of buildpacks.
    pub(super) fn lets_in(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let path = uri.path();
        path.starts_with("/ropewalk/")
            || path.starts_with("/buildpacks/")
            || headers
                .get(header::AUTHORIZATION)
                .and_then(|value| token_of(value.to_str().ok()?))
                .is_some_and(|token| digest(&token) == self.digest)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The token of `Bearer TOKEN`, or of `Basic` with any user name.
fn token_of(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    decoded
        .split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_this_helper_is_reached() {
        use Destination::{Foreign, Ours, Pretended};
        let gate = Gate::new(5000, "secret");
        for (authority, destination) in [
            ("127.0.0.1:5000", Ours),
            ("localhost:5000", Ours),
            ("api.metrics.heroku.com:5000", Ours),
            ("API.METRICS.heroku.com:5000", Ours),
            ("127.0.0.1:5001", Foreign),
            ("127.0.0.1", Foreign),
            ("api.metrics.heroku.com:443", Foreign),
            ("kolkrabbi.heroku.com:5000", Pretended),
            ("api.heroku.com:443", Foreign),
            ("localhost.example.com:5000", Pretended),
        ] {
            let parsed: Authority = authority.parse().unwrap();
            assert_eq!(gate.destination(&parsed), destination, "{authority}");
        }
    }

    #[test]
    fn nobody_gets_in_without_the_token() {
        let gate = Gate::new(5000, "secret");
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for (path, authorization, inside) in [
            ("/apps", Some("Bearer secret".to_owned()), true),
            ("/apps", Some("bearer  secret".to_owned()), true),
            ("/apps", Some(basic(":secret")), true),
            ("/apps", Some(basic("dev@example.com:secret")), true),
            ("/apps", None, false),
            ("/apps", Some("Bearer secret2".to_owned()), false),
            ("/apps", Some(basic("secret:")), false),
            ("/apps", Some("Digest secret".to_owned()), false),
            ("/ropewalk/logs/x", None, true),
            ("/buildpacks/heroku%2Fnodejs", None, true),
            ("/x/ropewalk/logs/x", None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = &authorization {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            let uri: Uri = path.parse().unwrap();
            assert_eq!(
                gate.lets_in(&uri, &headers),
                inside,
                "{path} {authorization:?}"
            );
        }
    }
}
