//! Pages of the router's own in an ordinary exchange, written as hyper writes them on the other path.

use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;

use super::client::Client;
use super::flow::Down;
use super::rewrite;
use super::room;
use super::turn::{Asked, Seat, Turn};
use crate::code::Code;
use crate::proxy;
use crate::relay::Answer;
use http::{HeaderName, HeaderValue, Response};

impl<S: Client> Seat<'_, S> {
    /// Answers with a page of the router's own.
    pub(crate) async fn fail(&mut self, asked: Box<Asked>, code: Code, down: &mut Down) -> Turn {
        let Asked {
            app,
            mut visit,
            mut up,
            size,
            is_head,
            close,
            reader,
            ..
        } = *asked;
        self.forget(size);
        // What has come of a body need not be waited for.
        up.take(self.input);
        visit.fail(code);
        let id = visit.subject().request_id.to_str().unwrap_or_default();
        let page = proxy::page(code, &app, reader, id);
        let close = close || up.left > 0 || self.router.is_stopping.load(Relaxed);
        down.out = room::small();
        down.sent = 0;
        let https = visit.subject().https;
        let alt_svc = self.router.alt_svc.as_ref().filter(|_| https);
        write_page(&mut down.out, page, is_head, close, alt_svc);
        drop(visit);
        let flushed = poll_fn(|cx| self.poll_flushed(cx, down)).await;
        Turn::last_if(close || flushed.is_err())
    }
}

fn write_page(
    out: &mut Vec<u8>,
    page: Response<Answer>,
    is_head: bool,
    close: bool,
    alt_svc: Option<&HeaderValue>,
) {
    let (parts, body) = page.into_parts();
    let body = match body {
        Answer::Page(page) => page.unwrap_or_default(),
        Answer::Relay(_) => Default::default(),
    };
    let mut number = [0; 20];
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(
        parts
            .status
            .canonical_reason()
            .unwrap_or("<none>")
            .as_bytes(),
    );
    out.extend_from_slice(b"\r\n");
    let mut put = |name: &HeaderName, value: &[u8]| {
        let mut first = true;
        for byte in name.as_str().bytes() {
            out.push(if first {
                byte.to_ascii_uppercase()
            } else {
                byte
            });
            first = byte == b'-';
        }
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    for (name, value) in &parts.headers {
        put(name, value.as_bytes());
    }
    if let Some(alt_svc) = alt_svc {
        put(&http::header::ALT_SVC, alt_svc.as_bytes());
    }
    if close {
        put(&http::header::CONNECTION, b"close");
    }
    put(
        &http::header::CONTENT_LENGTH,
        rewrite::decimal(&mut number, body.len() as u64),
    );
    out.extend_from_slice(b"Date: ");
    rewrite::append_date(out);
    out.extend_from_slice(b"\r\n\r\n");
    if !is_head {
        out.extend_from_slice(&body);
    }
}
