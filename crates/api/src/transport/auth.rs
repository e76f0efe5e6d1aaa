//! Who asks: `Authorization: Bearer <token>`, or Basic with any user name and the token as password.

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use http::{HeaderMap, header};
use jiff::Timestamp;

use crate::authorise::Actor;
use crate::state::State;
use crate::transport::error::ApiError;
use crate::transport::quota::Remaining;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 512;

/// What stands in the header.
pub(crate) struct Credentials {
    /// Basic only.
    pub(crate) user: Option<String>,
    /// Token, or password.
    pub(crate) secret: String,
}

impl Credentials {
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self {
                user: None,
                secret: rest.to_owned(),
            });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
        let (user, secret) = decoded.split_once(':')?;
        Some(Self {
            user: Some(user.to_owned()),
            secret: secret.to_owned(),
        })
    }
}

/// What clients send after they were told `two_factor`.
pub(crate) fn two_factor_code(headers: &HeaderMap) -> Option<&str> {
    headers.get("heroku-two-factor-code")?.to_str().ok()
}

impl Actor {
    /// Whose token this is.
    pub(crate) async fn of_token(state: &State, token: &str) -> Result<Option<Self>, ApiError> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let text = token.to_owned();
        let found = state
            .ctx
            .store
            .read(move |view| view.authenticate(&text, Timestamp::now()))
            .await?;
        Ok(found.map(|(user, token)| Self { user, token }))
    }

    pub(crate) async fn of_request(state: &State, headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(credentials) = Credentials::read(headers) else {
            return Err(ApiError::unauthorized(
                "No credentials: send the API token as `Authorization: Bearer <token>`.",
            ));
        };
        Self::of_token(state, &credentials.secret)
            .await?
            .ok_or_else(|| ApiError::unauthorized("The API token is not valid."))
    }
}

impl FromRequestParts<State> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, ApiError> {
        let actor = Self::of_request(state, &parts.headers).await?;
        let left = state.quota.take(&actor.user.id.to_string());
        if let Some(remaining) = parts.extensions.get::<Remaining>() {
            remaining.set(left.unwrap_or(0));
        }
        match left {
            Some(_) => Ok(actor),
            None => Err(ApiError::rate_limit()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_clients_send_is_read() {
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for (header, secret) in [
            ("Bearer abc".to_owned(), Some("abc")),
            ("bearer  abc".to_owned(), Some("abc")),
            (basic(":abc"), Some("abc")),
            (basic("dev@example.com:abc"), Some("abc")),
            (basic("heroku:a:b"), Some("a:b")),
            (basic("abc"), None),
            ("Basic !!".to_owned(), None),
            ("Digest abc".to_owned(), None),
            ("abc".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            let read = Credentials::read(&headers).map(|credentials| credentials.secret);
            assert_eq!(read.as_deref(), secret, "{header}");
        }
        assert!(Credentials::read(&HeaderMap::new()).is_none());
    }
}
