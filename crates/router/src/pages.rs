//! What the router answers itself: a page for people, JSON for programs, a status for gRPC's clients.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::code::Code;
use crate::edge::Gate;
use crate::grpc;
use crate::relay::Answer;

/// For whom a page is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    Person,
    Program,
    /// Of a call's outcome.
    Grpc,
}

impl Reader {
    pub(crate) fn of(parts: &Parts) -> Reader {
        if grpc::is_call(parts) {
            return Reader::Grpc;
        }
        let accept = parts.headers.get(ACCEPT);
        Reader::who_accepts(accept.and_then(|value| value.to_str().ok()))
    }

    /// Who asks over HTTP/1.1 and accepts this.
    pub(crate) fn who_accepts(accept: Option<&str>) -> Reader {
        match accept {
            Some(accept) if prefers_json(accept) => Reader::Program,
            _ => Reader::Person,
        }
    }
}

/// The page of a code. `frame`: the app's own page at an absolute URL, shown instead of ours.
pub(crate) fn code(
    code: Code,
    status: u16,
    reader: Reader,
    request_id: &str,
    frame: Option<&str>,
) -> Response<Answer> {
    match reader {
        Reader::Grpc => {
            let message = format!("{} {} (request {request_id})", code.name(), code.desc());
            return grpc::end(grpc::status_of(code, status), &message);
        }
        Reader::Program => return json(status, code.name(), code.desc(), Some(request_id)),
        Reader::Person => {}
    }
    if let Some(url) = frame {
        return html(status, framed(url));
    }
    let (title, text) = words(code, status);
    let footer = format!("{} · request {}", code.name(), request_id);
    html(status, page(title, text, &footer))
}

/// The page of what an app's edge policy answered.
pub(crate) fn gate(gate: Gate, status: u16, reader: Reader, request_id: &str) -> Response<Answer> {
    let (title, text) = gate.words();
    match reader {
        Reader::Grpc => return grpc::end(grpc::status_of_http(status), text),
        Reader::Program => return json(status, gate.name(), text, Some(request_id)),
        Reader::Person => {}
    }
    html(status, page(title, text, &format!("request {request_id}")))
}

/// No table names this host.
pub(crate) fn no_such_app(reader: Reader, host: &str) -> Response<Answer> {
    let short = "There is no app at this address.";
    match reader {
        Reader::Grpc => return grpc::end(grpc::status_of_http(404), short),
        Reader::Program => return json(404, "no_such_app", short, None),
        Reader::Person => {}
    }
    let text = "There is nothing configured here. If this is your app, check the spelling of its \
                name, or add this domain to it with ropewalk domains:add.";
    html(404, page("No such app", text, host))
}

/// The request cannot be understood well enough to know whose it is.
pub(crate) fn bad_request(reader: Reader, status: u16, cause: &str) -> Response<Answer> {
    match reader {
        Reader::Grpc => return grpc::end(grpc::status_of_http(status), cause),
        Reader::Program => return json(status, "bad_request", cause, None),
        Reader::Person => {}
    }
    html(
        status,
        page(
            "Bad request",
            "The router could not make sense of this request.",
            cause,
        ),
    )
}

/// The server does not answer on its socket.
pub(crate) fn platform_away(reader: Reader) -> Response<Answer> {
    let text = "The control plane is not answering. Apps keep running; try again in a moment.";
    match reader {
        Reader::Grpc => return grpc::end(grpc::status_of_http(503), text),
        Reader::Program => return json(503, "platform_unavailable", text, None),
        Reader::Person => {}
    }
    html(503, page("Platform unavailable", text, ""))
}

/// For an authority that looks whether a name leads here.
pub(crate) fn challenge(text: String) -> Response<Answer> {
    respond(
        200,
        HeaderValue::from_static("application/octet-stream"),
        text,
    )
}

fn words(code: Code, status: u16) -> (&'static str, &'static str) {
    match code {
        Code::H80 => (
            "Offline for maintenance",
            "This application is undergoing maintenance. Please try again later.",
        ),
        Code::H81 => (
            "Nothing here yet",
            "This application has been created, but nothing has been deployed to it. If it is \
             yours, deploy it with git push.",
        ),
        Code::H26 if status < 500 => ("Bad request", "The router could not pass this request on."),
        Code::H28 => ("Request timeout", "The request did not arrive completely."),
        _ => (
            "Application error",
            "The application could not answer this request. If it is yours, its log says more: \
             ropewalk logs --tail.",
        ),
    }
}

fn page(title: &str, text: &str, footer: &str) -> String {
    let (title, text, footer) = (escape(title), escape(text), escape(footer));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n\
         body{{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;\
         font:16px/1.5 system-ui,sans-serif;color:#333;background:#f6f5f2}}\n\
         main{{max-width:34em;padding:2em}}\nh1{{font-size:1.5em;font-weight:600;margin:0 0 .5em}}\n\
         footer{{margin-top:2em;font-size:.8em;color:#888}}\n</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p>{text}</p>\n<footer>{footer}</footer>\n</main>\n</body>\n</html>\n"
    )
}

fn framed(url: &str) -> String {
    let url = escape(url);
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n\
         html,body,iframe{{margin:0;padding:0;width:100%;height:100%;border:0}}\n\
         body{{overflow:hidden}}\n</style>\n</head>\n<body>\n<iframe src=\"{url}\"></iframe>\n\
         </body>\n</html>\n"
    )
}

fn html(status: u16, body: String) -> Response<Answer> {
    respond(
        status,
        HeaderValue::from_static("text/html; charset=utf-8"),
        body,
    )
}

fn json(status: u16, id: &str, message: &str, request_id: Option<&str>) -> Response<Answer> {
    #[derive(Serialize)]
    struct Error<'a> {
        id: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a str>,
    }
    let error = Error {
        id,
        message,
        request_id,
    };
    let body = serde_json::to_string(&error).unwrap_or_default();
    respond(status, HeaderValue::from_static("application/json"), body)
}

fn respond(status: u16, kind: HeaderValue, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Page(Some(Bytes::from(body))));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store"),
    );
    response
}

/// Whether an `Accept` ranks JSON above HTML. A bare `*/*` is a browser's or curl's: HTML.
fn prefers_json(accept: &str) -> bool {
    let mut json: f32 = 0.0;
    let mut html: f32 = 0.0;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if kind.eq_ignore_ascii_case("application/json")
            || kind.to_ascii_lowercase().ends_with("+json")
        {
            json = json.max(quality);
        } else if kind.eq_ignore_ascii_case("text/html")
            || kind.eq_ignore_ascii_case("application/xhtml+xml")
            || kind.eq_ignore_ascii_case("text/*")
        {
            html = html.max(quality);
        }
    }
    json > html
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_only_for_who_prefers_it() {
        for (accept, json) in [
            ("application/json", true),
            ("application/vnd.heroku+json; version=3", true),
            ("application/json;q=0.5, text/html", false),
            ("text/html;q=0.4, application/json;q=0.5", true),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
            ("application/json, text/plain, */*", true),
        ] {
            assert_eq!(prefers_json(accept), json, "{accept}");
        }
    }

    #[test]
    fn what_the_client_sent_cannot_become_markup() {
        assert_eq!(escape("<script>\"&"), "&lt;script&gt;&quot;&amp;");
        assert!(framed("x\"><script>").contains("src=\"x&quot;&gt;&lt;script&gt;\""));
    }
}
