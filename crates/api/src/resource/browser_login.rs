//! `POST /auth`, `/cli/browser/:id`, `/cli/auth/:id`: a login that is asked for at a terminal and confirmed in a
//! browser.

use std::time::Duration;

use axum::Form;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ropewalk_api_types::Secret;
use ropewalk_api_types::browser_login::{BrowserLogin, BrowserLoginAsk, BrowserLoginOutcome};
use ropewalk_store::User;
use serde::Deserialize;

use crate::browser_logins::{self, Outcome};
use crate::password;
use crate::resource::login_page::{self, Form as Page};
use crate::resource::oauth::{self, Wish};
use crate::resource::path::Path;
use crate::state::State;
use crate::text;
use crate::transport::auth::Credentials;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};

/// A poll is answered within this time; clients follow ten redirects, so they wait for some four minutes.
const POLL: Duration = Duration::from_secs(24);
/// Seconds that the token is good for: 30 days, as the command line asks for.
const LIFE: u64 = 30 * 86_400;
const MAX_DESCRIPTION: usize = 200;

pub(crate) async fn ask(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    Json(asked): Json<BrowserLoginAsk>,
) -> ApiResult {
    let description = asked.description.as_deref().unwrap_or_default();
    let description = match text::plain(description, MAX_DESCRIPTION) {
        empty if empty.is_empty() => "A program that does not say what it is".to_owned(),
        description => description,
    };
    let asked = state
        .browser_logins
        .ask(description, address(&headers))
        .ok_or_else(ApiError::rate_limit)?;
    Ok(created(&BrowserLogin {
        browser_url: format!("/cli/browser/{}", asked.id),
        cli_url: format!("/cli/auth/{}", asked.id),
        token: Secret(asked.secret),
    }))
}

/// Who the router took the request from: it adds that at the end.
fn address(headers: &HeaderMap) -> String {
    headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok()?.rsplit(',').next())
        .map(|address| text::plain(address, 64))
        .unwrap_or_else(|| "an unknown address".to_owned())
}

pub(crate) async fn form(Shared(state): Shared<State>, Path(id): Path<String>) -> Response {
    match state.browser_logins.find(&id) {
        Some(login) => login_page::form(StatusCode::OK, &page(&login, "", None)),
        None => login_page::gone(),
    }
}

fn page<'a>(
    login: &'a browser_logins::BrowserLogin,
    email: &'a str,
    error: Option<&'a str>,
) -> Page<'a> {
    Page {
        description: &login.description,
        address: &login.address,
        csrf: &login.csrf,
        email,
        error,
    }
}

/// What the form sends. No `Debug`: it holds a password.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct Sent {
    csrf: String,
    action: String,
    email: String,
    password: String,
    code: String,
}

pub(crate) async fn decide(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    Form(sent): Form<Sent>,
) -> Response {
    let Some(login) = state.browser_logins.find(&id) else {
        return login_page::gone();
    };
    if !login.has_seen_form(&sent.csrf) {
        let error = "This form is not the one that was shown to you. Look at it again.";
        return login_page::form(StatusCode::FORBIDDEN, &page(&login, "", Some(error)));
    }
    if sent.action != "approve" {
        return match login.decide(Outcome::Refused) {
            true => login_page::refused(),
            false => login_page::gone(),
        };
    }
    match who(&state, &sent).await {
        Ok(user) => match login.decide(Outcome::Approved(user.id)) {
            true => login_page::approved(&user.email),
            false => login_page::gone(),
        },
        Err(error) => {
            let email = text::plain(&sent.email, 254);
            let (status, message) = (error.status(), error.message().to_owned());
            login_page::form(status, &page(&login, &email, Some(&message)))
        }
    }
}

async fn who(state: &State, sent: &Sent) -> ApiResult<User> {
    let user = password::who(state, sent.email.trim(), &sent.password)
        .await?
        .ok_or_else(|| ApiError::forbidden("The e-mail address or the password is wrong."))?;
    password::second_factor(state, &user, Some(&sent.code)).await?;
    Ok(user)
}

/// Long poll of the terminal that asked: the token, an error, or the advice to ask again.
pub(crate) async fn poll(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult {
    let gone = || ApiError::not_found("login");
    let login = state.browser_logins.find(&id).ok_or_else(gone)?;
    let asker = Credentials::read(&headers).is_some_and(|found| login.is_asker(&found.secret));
    if !asker {
        return Err(ApiError::unauthorized(
            "This login was asked for by somebody else.",
        ));
    }
    let outcome = login.decision(POLL).await;
    let error = |text: &str| BrowserLoginOutcome {
        access_token: None,
        error: Some(text.to_owned()),
    };
    let user = match outcome {
        Outcome::Waiting if state.browser_logins.find(&id).is_some() => {
            let mut again = StatusCode::FOUND.into_response();
            let to = HeaderValue::try_from(format!("/cli/auth/{id}"))
                .map_err(|error| ApiError::internal(&error))?;
            again.headers_mut().insert(header::LOCATION, to);
            return Ok(again);
        }
        Outcome::Waiting => return Ok(ok(&error("The login was not confirmed in time."))),
        Outcome::Refused => {
            state.browser_logins.take(&id);
            return Ok(ok(&error("The login was refused in the browser.")));
        }
        Outcome::Approved(user) => user,
    };
    state.browser_logins.take(&id).ok_or_else(gone)?;
    let user = state
        .ctx
        .store
        .read(move |view| view.find_user(&user.to_string()))
        .await?;
    let wish = Wish {
        description: &login.description,
        scope: "global".to_owned(),
        life: Some(LIFE),
        session: true,
    };
    let (_, text) = oauth::issue(&state, &user, wish).await?;
    Ok(ok(&BrowserLoginOutcome {
        access_token: Some(Secret(text)),
        error: None,
    }))
}
