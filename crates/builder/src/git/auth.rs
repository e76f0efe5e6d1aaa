//! Who may push to or fetch from an app. Credentials are asked for before anything is said about the app, for git
//! sends none until it is asked, and a stranger must not learn which apps there are.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use ropewalk_model::AppName;
use ropewalk_model::rights::{Actor, Denied, Relation, Resource, Verb, authorise};
use ropewalk_store::{App, StoreError, User};

use super::exchange::Service;
use crate::context::Context;
use crate::error::chain;

/// Longest token text looked up, in bytes.
const MAX_TOKEN: usize = 512;

/// The app and the user, or the refusal to be sent.
pub(crate) async fn authorize(
    context: &Context,
    headers: &HeaderMap,
    repo: &str,
    service: Service,
) -> Result<(App, User), Response> {
    let Some(token) = token(headers) else {
        return Err(unauthorized(
            "Log in with any user name and your API token as the password.",
        ));
    };
    let name = repo.strip_suffix(".git").map(AppName::parse);
    let found = context
        .store
        .read(move |view| {
            let Some((user, token)) = view.authenticate(&token, Timestamp::now())? else {
                return Ok(None);
            };
            let Some(Ok(name)) = name else {
                return Ok(Some((user, token, None)));
            };
            let app = match view.find_app(name.as_str()) {
                Ok(app) => {
                    let relation = view.relation(user.id, &app)?;
                    Some((app, relation))
                }
                Err(StoreError::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            Ok(Some((user, token, app)))
        })
        .await;
    match found {
        Ok(None) => Err(unauthorized(
            "The API token is not valid (any more). Log in again: ropewalk login",
        )),
        Ok(Some((user, token, Some((app, relation))))) => {
            match may(&token.actor(&user), relation, service) {
                Ok(()) => Ok((app, user)),
                Err(Denied::Hidden) => Err(unknown()),
                Err(_) => Err(plain(
                    StatusCode::FORBIDDEN,
                    "This API token may not do that: its scope is too narrow.",
                )),
            }
        }
        Ok(Some((_, _, None))) => Err(unknown()),
        Err(error) => {
            tracing::error!(
                error = chain(&error),
                "Could not look up a push's credentials."
            );
            Err(plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Ropewalk cannot read its ledger right now. Try again.",
            ))
        }
    }
}

/// A short answer; git shows its body as `remote: …`.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response {
    (
        status,
        [(CONTENT_TYPE, "text/plain; charset=utf-8")],
        format!("{text}\n"),
    )
        .into_response()
}

fn unauthorized(text: &str) -> Response {
    let mut response = plain(StatusCode::UNAUTHORIZED, text);
    let challenge = http::HeaderValue::from_static("Basic realm=\"Ropewalk\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// The password of Basic credentials, whatever the user name; `Bearer` is taken too.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    let token = match scheme.to_ascii_lowercase().as_str() {
        "basic" => {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            decoded.split_once(':')?.1.to_owned()
        }
        "bearer" => rest.to_owned(),
        _ => return None,
    };
    (1..=MAX_TOKEN).contains(&token.len()).then_some(token)
}

/// A push changes the app, a fetch reads it.
pub(crate) fn may(actor: &Actor, relation: Relation, service: Service) -> Result<(), Denied> {
    let verb = match service {
        Service::Receive => Verb::Write,
        Service::Upload => Verb::Read,
    };
    authorise(actor, verb, Resource::App(relation))
}

fn unknown() -> Response {
    plain(StatusCode::NOT_FOUND, "Couldn't find that app.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        token(&headers)
    }

    #[test]
    fn any_user_with_the_token_as_password() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(token_of(&basic("x:secret")), Some("secret".into()));
        assert_eq!(token_of(&basic("me@example.com:a:b")), Some("a:b".into()));
        assert_eq!(token_of("bearer secret"), Some("secret".into()));
        for bad in [
            "Basic",
            "Basic !!!",
            &basic("nocolon"),
            &basic("x:"),
            "Digest a",
            &basic(&format!("x:{}", "y".repeat(600))),
        ] {
            assert_eq!(token_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_works_on_an_app_pushes_with_a_scope_that_reaches() {
        let may = |scopes: &str, relation, service| {
            let actor = Actor {
                user: ropewalk_model::UserId(uuid::Uuid::from_u128(1)),
                admin: false,
                scopes: ropewalk_model::Scopes::parse(scopes),
            };
            may(&actor, relation, service).is_ok()
        };
        for relation in [Relation::Owner, Relation::Collaborator] {
            assert!(may("global", relation, Service::Receive));
            assert!(may("identity write", relation, Service::Receive));
            assert!(may("read", relation, Service::Upload));
            for scope in ["read", "identity", "", "globally"] {
                assert!(!may(scope, relation, Service::Receive), "{scope}");
            }
        }
        assert!(!may("global", Relation::Stranger, Service::Upload));
    }
}
