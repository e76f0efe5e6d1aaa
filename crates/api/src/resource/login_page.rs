//! The pages of a login in the browser: plain HTML, no script, nothing from anywhere else, every text escaped.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::text::html;

const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}\
h1{font-size:1.4rem}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}\
input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid GrayText;border-radius:4px}\
button{font:inherit;padding:.5rem 1rem;margin:1.5rem .5rem 0 0;border:1px solid GrayText;border-radius:4px}\
dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}\
.error{border-left:4px solid #c00;padding:.25rem .75rem}";

/// What the form shows; everything is escaped here.
pub(crate) struct Form<'a> {
    pub(crate) description: &'a str,
    pub(crate) address: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) email: &'a str,
    pub(crate) error: Option<&'a str>,
}

pub(crate) fn form(status: StatusCode, form: &Form<'_>) -> Response {
    let error = form.error.map_or_else(String::new, |error| {
        format!(
            "<p class=\"error\" id=\"error\" role=\"alert\">{}</p>",
            html(error)
        )
    });
    let described = match form.error {
        Some(_) => " aria-describedby=\"error\"",
        None => "",
    };
    let body = format!(
        "<h1>Log in to Ropewalk</h1>\
         <p>A program asks to act as you. Confirm only if you have just started it yourself.</p>\
         <dl><dt>Program</dt><dd>{description}</dd><dt>Asked from</dt><dd>{address}</dd></dl>\
         {error}\
         <form method=\"post\" autocomplete=\"on\">\
         <input type=\"hidden\" name=\"csrf\" value=\"{csrf}\">\
         <label for=\"email\">E-mail</label>\
         <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" maxlength=\"254\" value=\"{email}\"{described}>\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" maxlength=\"1024\">\
         <label for=\"code\">Two-factor code, if you have enabled it</label>\
         <input id=\"code\" name=\"code\" type=\"text\" autocomplete=\"one-time-code\" maxlength=\"64\">\
         <button name=\"action\" value=\"approve\">Log in</button>\
         <button name=\"action\" value=\"refuse\" formnovalidate>Refuse</button>\
         </form>",
        description = html(form.description),
        address = html(form.address),
        csrf = html(form.csrf),
        email = html(form.email),
    );
    page(status, "Log in to Ropewalk", &body)
}

pub(crate) fn approved(email: &str) -> Response {
    let body = format!(
        "<h1>Logged in</h1><p>You are logged in as {}. Close this page and go back to the terminal.</p>",
        html(email)
    );
    page(StatusCode::OK, "Logged in", &body)
}

pub(crate) fn refused() -> Response {
    page(
        StatusCode::OK,
        "Refused",
        "<h1>Refused</h1><p>The program gets no access. You can close this page.</p>",
    )
}

pub(crate) fn gone() -> Response {
    page(
        StatusCode::NOT_FOUND,
        "No such login",
        "<h1>No such login</h1><p>It was answered already, or more than ten minutes have passed. \
         Start again at the terminal: <code>ropewalk login</code>.</p>",
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    );
    let mut response = (status, Html(text)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
