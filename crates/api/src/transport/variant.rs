//! Which clients ask: ours speak of attached dynos otherwise than Heroku's.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;

/// How the client attaches to dynos, told by the variant in `Accept: …; version=3.<variant>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attaching {
    /// Our own: sizes, signals and the exit code have frames of their own.
    WebSocket,
    /// Heroku's, and so everybody else's.
    Rendezvous,
}

impl<S: Sync> FromRequestParts<S> for Attaching {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accept = parts.headers.get(header::ACCEPT);
        let ours = accept
            .and_then(|value| value.to_str().ok())
            .is_some_and(|text| {
                text.split([',', ';', ' '])
                    .any(|part| part == "version=3.ropewalk")
            });
        Ok(match ours {
            true => Self::WebSocket,
            false => Self::Rendezvous,
        })
    }
}
