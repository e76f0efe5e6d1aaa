//! The head of a dyno's answer: how its body is framed, and whether its connection can be used again.
//!
//! Reads it as hyper's client does on the other path.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};

use super::head::Seen;
use crate::code::Code;
use crate::pool::BUFFER;
use crate::proxy;

/// Headers of an answer; beyond it H25.
pub(crate) const MOST: usize = 100;

/// For the headers of one head.
pub(crate) type Room<'b> = [MaybeUninit<Header<'b>>; MOST];

pub(crate) const fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; MOST]
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, whatever the head says.
    None,
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Answer<'h, 'b> {
    Partial,
    /// One that goes before the answer, of so many bytes.
    Interim(usize),
    Bad(Code),
    Final(Reply<'h, 'b>),
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Reply<'h, 'b> {
    /// Bytes of it.
    pub(crate) size: usize,
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) headers: &'h [Header<'b>],
    pub(crate) framing: Framing,
    /// There are lengths that do not agree: only the answer to HEAD may have that, and they go no further.
    pub(crate) lengths_differ: bool,
    /// `Transfer-Encoding` is there, so a length means nothing.
    pub(crate) is_chunked: bool,
    pub(crate) keep_alive: bool,
    /// Two headers may have the same name.
    pub(crate) repeats: bool,
    /// `Connection` names headers.
    names: bool,
    /// gRPC says that the call failed.
    pub(crate) grpc_failed: bool,
}

/// Looks at what has come; `is_head` and `bytes` are of the request and its answer.
pub(crate) fn read<'h, 'b>(
    bytes: &'b [u8],
    headers: &'h mut Room<'b>,
    is_head: bool,
) -> Answer<'h, 'b> {
    let mut response = Response::new(&mut []);
    let parser = ParserConfig::default();
    let size = match parser.parse_response_with_uninit_headers(&mut response, bytes, headers) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) if bytes.len() > BUFFER => return Answer::Bad(Code::H25),
        Ok(Status::Partial) => return Answer::Partial,
        Err(httparse::Error::TooManyHeaders) => return Answer::Bad(Code::H25),
        Err(_) => return Answer::Bad(Code::H17),
    };
    if size > BUFFER {
        return Answer::Bad(Code::H25);
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Answer::Bad(Code::H17);
    };
    if !(100..=999).contains(&status) {
        return Answer::Bad(Code::H17);
    }
    if status < 200 && status != 101 {
        return Answer::Interim(size);
    }
    let reason = response.reason.unwrap_or_default();
    let headers: &'h [Header<'b>] = response.headers;
    let mut reply = Reply {
        size,
        status,
        reason,
        headers,
        framing: Framing::Close,
        lengths_differ: false,
        is_chunked: false,
        keep_alive: minor == 1,
        repeats: false,
        names: false,
        grpc_failed: false,
    };
    match reply.judge(minor, is_head) {
        Ok(()) => Answer::Final(reply),
        Err(code) => Answer::Bad(code),
    }
}

impl Reply<'_, '_> {
    fn judge(&mut self, minor: u8, is_head: bool) -> Result<(), Code> {
        let mut seen = Seen::default();
        let mut lengths = 0;
        let (mut length, mut bad_length, mut coding, mut closes) = (None, false, None, false);
        for header in self.headers {
            seen.note(header.name);
            let is = |other: &str| header.name.eq_ignore_ascii_case(other);
            match header.name.len() {
                10 if is("connection") => {
                    let mut keeps = false;
                    for token in tokens(header.value) {
                        if token.eq_ignore_ascii_case(b"close") {
                            closes = true;
                        } else if token.eq_ignore_ascii_case(b"keep-alive") {
                            keeps = true;
                        } else if !token.is_empty() && !token.eq_ignore_ascii_case(b"upgrade") {
                            self.names = true;
                        }
                    }
                    self.keep_alive |= keeps;
                }
                11 if is("grpc-status") => {
                    self.grpc_failed = matches!(header.value, b"2" | b"13" | b"14" | b"15");
                }
                14 if is("content-length") => {
                    lengths += 1;
                    for one in header.value.split(|byte| *byte == b',') {
                        match digits(one.trim_ascii()) {
                            Some(number) if length.is_none_or(|known| known == number) => {
                                length = Some(number);
                            }
                            _ => bad_length = true,
                        }
                    }
                }
                17 if is("transfer-encoding") => {
                    self.is_chunked = true;
                    let last = tokens(header.value).last().unwrap_or_default();
                    coding = Some(last.eq_ignore_ascii_case(b"chunked"));
                }
                _ => {}
            }
        }
        self.repeats = seen.repeats;
        self.lengths_differ = bad_length && lengths > 1;
        self.keep_alive &= !closes;
        self.framing = match (self.status, coding) {
            (101 | 204 | 304, _) => Framing::None,
            _ if is_head => Framing::None,
            (_, Some(_)) if minor == 0 => return Err(Code::H17),
            (_, Some(true)) => Framing::Chunked,
            (_, Some(false)) => Framing::Close,
            (_, None) if bad_length => return Err(Code::H17),
            (_, None) => length.map_or(Framing::Close, Framing::Length),
        };
        let is_over = self.framing == Framing::None
            && (bad_length || proxy::may_trail(self.status, length, coding.is_some()));
        if is_over || self.framing == Framing::Close || self.status == 101 {
            self.keep_alive = false;
        }
        Ok(())
    }

    /// Whether a header goes to the client as it came, whatever is asked and answered.
    pub(crate) fn passes(&self, name: &str) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if self.names {
            return false;
        }
        match name.len() {
            2 => !is("te"),
            3 => !is("via"),
            7 => !is("upgrade") && !is("trailer"),
            10 => !is("connection") && !is("keep-alive"),
            14 if is("content-length") => {
                matches!(self.framing, Framing::Length(1..)) && !self.is_chunked
            }
            16 => !is("proxy-connection"),
            17 => !is("transfer-encoding"),
            18 => !is("proxy-authenticate"),
            19 => !is("proxy-authorization"),
            _ => true,
        }
    }

    /// Whether `Connection` names this header.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.names
            && self
                .headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case("connection"))
                .flat_map(|header| tokens(header.value))
                .any(|token| !is_word(token) && token.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// What is said by `Connection` and is no header there.
fn is_word(token: &[u8]) -> bool {
    let words: [&[u8]; 3] = [b"close", b"keep-alive", b"upgrade"];
    words.iter().any(|word| token.eq_ignore_ascii_case(word))
}

fn tokens(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn digits(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = plain.then(|| std::str::from_utf8(text).ok()).flatten()?;
    // What hyper cannot count either.
    text.parse().ok().filter(|length| *length < u64::MAX - 2)
}
