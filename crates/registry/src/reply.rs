//! Answers in the distribution API's words.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header, response};

use crate::server::{Credentials, Refusal};

/// An answer that is an error: a status, a code that programs know, and a text for people.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: std::borrow::Cow<'static, str>,
}

impl Failure {
    pub(crate) const UNSUPPORTED: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "UNSUPPORTED",
        "this registry is read-only: deploy with git push",
    );
    pub(crate) const NAME_UNKNOWN: Self = Self::new(
        StatusCode::NOT_FOUND,
        "NAME_UNKNOWN",
        "there is no such repository",
    );
    pub(crate) const MANIFEST_UNKNOWN: Self = Self::new(
        StatusCode::NOT_FOUND,
        "MANIFEST_UNKNOWN",
        "there is no such image",
    );
    pub(crate) const BLOB_UNKNOWN: Self = Self::new(
        StatusCode::NOT_FOUND,
        "BLOB_UNKNOWN",
        "there is no such blob",
    );
    pub(crate) const DIGEST_INVALID: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "DIGEST_INVALID",
        "not a digest of the form sha256:<64 hexadecimal characters>",
    );
    const INTERNAL: Self = Self::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "UNKNOWN",
        "the registry failed; its log says why",
    );

    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message: std::borrow::Cow::Borrowed(message),
        }
    }

    /// The disk failed under a request: told to the log here, because the client must not see paths.
    pub(crate) fn disk(error: std::io::Error) -> Self {
        tracing::error!(%error, "A blob could not be read.");
        Self::INTERNAL
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = json(&serde_json::json!({
            "errors": [{ "code": self.code, "message": self.message }],
        }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Basic realm=\"Ropewalk\"");
            headers.insert(header::WWW_AUTHENTICATE, ask);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated => Self::new(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "log in with any user name and an API token as password",
            ),
            Refusal::Denied(message) => Self {
                message: message.into(),
                ..Self::new(StatusCode::FORBIDDEN, "DENIED", "")
            },
            Refusal::Failed(error) => {
                tracing::error!(error = &*error, "The registry's catalog failed.");
                Self::INTERNAL
            }
        }
    }
}

/// Every answer says which API this is; clients ask for that.
pub(crate) fn mark(headers: &mut HeaderMap) {
    let version = HeaderValue::from_static("registry/2.0");
    headers.insert("docker-distribution-api-version", version);
}

pub(crate) fn json(value: &serde_json::Value) -> Response {
    let text = value.to_string();
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(text);
    response
}

/// Fails only when a header holds what no header may: a catalog's media type, for one.
pub(crate) fn build(response: response::Builder, body: Body) -> Result<Response, Failure> {
    response.body(body).map_err(|error| {
        tracing::error!(%error, "An answer could not be made.");
        Failure::INTERNAL
    })
}

/// The user name and password of basic authentication; anything else counts as none.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = plain.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_credentials_count() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            credentials(&headers)
        };
        let expected = Some(("user".to_owned(), "a:b".to_owned()));
        assert_eq!(read("Basic dXNlcjphOmI="), expected);
        assert_eq!(read("basic dXNlcjphOmI="), expected);
        for wrong in ["Bearer x", "Basic", "Basic !", "Basic dXNlcg=="] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
